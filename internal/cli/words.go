package cli

import (
	"path/filepath"
	"slices"
	"strings"

	"bulsa/internal/spec"
)

// foreign is the words of PM2, systemctl, docker and docker compose that bulsa has other
// ones for, with what to type or to do in place of them.
func foreign(word string) string {
	for _, row := range []struct{ words, answer string }{
		{"status monit dash dashboard plus prettylist jlist", "bulsa ps shows workers with their requests, loops, CPU and memory, bulsa stats again and again"},
		{"reload gracefulReload", "bulsa restart is graceful: a successor is ready before its predecessor goes"},
		{"delete del rm remove", "bulsa stop SERVICE ends a service, bulsa down the project, bulsa down -v its volumes, too; what is not in the file any more goes with bulsa up -d"},
		{"describe desc show info", "bulsa inspect NAME tells all about a service or worker"},
		{"save dump resurrect cleardump", "there is nothing to save: the Compose file is the list of what runs, and bulsa up runs it"},
		{"startup unstartup enable disable", "let systemd run bulsa up: docs/coming-from-pm2.md has the unit"},
		{"is-active is-failed", "bulsa ps --format json has every worker's state; /healthz of the admin server answers 200 or 503"},
		{"daemon-reload update updatePM2 reset", "bulsa up -d applies what changed in the file; bulsa itself is replaced by ending it and starting the new one"},
		{"flush reloadLogs", "bulsa rotates its logs by itself; bulsa logs --tail 0 -f shows what is new"},
		{"sendSignal signal", "bulsa kill -s SIGNAL WORKER sends a signal"},
		{"pid id getpid", "bulsa ps shows the pids; --format json for programs"},
		{"env", "bulsa config shows a service's environment as it was understood"},
		{"start-or-restart startOrRestart startOrReload apply", "bulsa up -d starts a project, or applies what changed"},
		{"serve static", "bulsa serves no files; bulsa run npx serve FOLDER does"},
		{"attach", "bulsa logs -f NAME follows a worker's output, bulsa exec NAME sh opens a shell beside it"},
		{"create", "bulsa build and bulsa pull make ready what bulsa up -d starts"},
		{"commit", "docker commit makes an image of a container; bulsa ps shows their ids"},
		{"convert", "bulsa config shows the configuration as it is understood"},
		{"export", "docker export packs the files of a container; bulsa ps shows their ids"},
		{"publish", "docker compose publish does it: a file whose services are containers is one for both"},
		{"push", "docker push brings an image to its registry; bulsa images lists them"},
		{"volumes", "bulsa config --volumes lists those of the file; docker volume ls --filter label=bulsa.project=NAME those that are there"},
		{"watch", "files are not watched in this version; bulsa up -d applies what has changed"},
		{"deploy rollback resume", "it is not part of this version; bulsa help lists what is"},
	} {
		if slices.Contains(strings.Fields(row.words), word) {
			return row.answer
		}
	}
	return ""
}

// nearest is the command that was probably meant. It begins with the same letter: a slip
// of the finger in the first one is rare, and top must not become stop, nor cp up, where these are no commands.
func nearest(word string, names []string) string {
	return spec.Nearest(word, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name[:1] != word[:1] }))
}

// isPM2File reports whether a file is a configuration of PM2's, by the names that its
// documents and `pm2 init` give. PM2 takes more (Common.isConfigFile in its lib/Common.js).
func isPM2File(path string) bool {
	name := filepath.Base(path)
	stem, config := strings.CutSuffix(strings.TrimSuffix(name, filepath.Ext(name)), ".config")
	switch filepath.Ext(name) {
	case ".js", ".cjs", ".mjs":
		return config && (stem == "ecosystem" || stem == "pm2" || stem == "process")
	case ".json", ".yml", ".yaml", ".json5":
		return config && stem != "" || stem == "ecosystem" || stem == "pm2" || stem == "process"
	}
	return false
}
