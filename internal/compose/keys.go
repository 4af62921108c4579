package compose

import (
	"fmt"
	"slices"
	"strings"
)

// fate is what becomes of a key of Compose, for services of one engine.
type fate struct {
	effect effect
	note   string // how it differs from Compose, or why it has no effect
}

type effect int

const (
	done    effect = iota // as in Compose, but for what the note says
	ignored               // warned of, with its line
	refused               // an error, with its line
	silent                // no effect, and nobody expects one
)

// keyGroup is some keys of Compose's schema below one path that have the same fates.
// A path names services, networks and the like by *, and the items of a list by [].
// A key below one that is not done needs no group: it is as that one.
type keyGroup struct {
	below      string // path; empty: the file itself
	keys       string // names, separated by spaces
	containers fate
	processes  fate
}

// paths are the paths of the group's keys.
func (g keyGroup) paths() []string {
	paths := strings.Fields(g.keys)
	for i, key := range paths {
		paths[i] = join(g.below, key)
	}
	return paths
}

// The notes that come up again and again.
const (
	notYet      = "it is not part of this version"
	onlySwarm   = "only a swarm knows it"
	onlyWindows = "only Windows containers know it"
	needsBuildx = "docker's Buildx builds the image then, and has to be installed"
	mayBuildx   = "where docker's Buildx is installed; elsewhere a line says that it has no effect"
)

var (
	yes     = fate{}
	nothing = fate{effect: silent}
	process = fate{ignored, "it has no meaning for a process"} // of a key that only containers have
)

func as(note string) fate      { return fate{done, note} }
func without(why string) fate  { return fate{ignored, why} }
func mistaken(why string) fate { return fate{refused, why} }

// keyTable is what bulsa makes of every key of Compose. docs/configuration.md has it,
// too: tests compare both, and this with the schema.
func keyTable() []keyGroup {
	return slices.Concat(fileKeys(), serviceKeys(), buildKeys(), lifeKeys(), nestedKeys(), sharedKeys())
}

func fileKeys() []keyGroup {
	return []keyGroup{
		{"", "name include services", yes, yes},
		{"", "networks volumes secrets configs", yes, without("there are no containers")},
		{"", "version", without("Compose files have no version any more"), without("Compose files have no version any more")},
		{"", "models jobs", without(notYet), without(notYet)},
		{"include[]", "path env_file project_directory", yes, yes},
	}
}

func serviceKeys() []keyGroup {
	const below = "services.*"
	return []keyGroup{
		{below, "command entrypoint", as("a line is split like a shell does; no shell is run"), as("a line is split like a shell does; no shell is run")},
		{below, "environment env_file", as("nothing is inherited"), as("on top of bulsa's own environment")},
		{below, "working_dir user profiles extends depends_on healthcheck scale deploy restart stop_signal stop_grace_period ports", yes, yes},
		{below, "expose", as("the port of x-bulsa.probe where there are no ports"), as("where the application listens, of a service that joins a pool")},
		{below, "build", yes, as("of it the HEALTHCHECK of its Dockerfile")},
		{below, "logging", as("Docker's own log, beside bulsa's"), as("max-size and max-file of bulsa's files")},
		{below, "labels label_file", yes, nothing},
		{below, "init", yes, as("bulsa always reaps")},
		{below, "image platform pull_policy pull_refresh_after", yes, process},
		{below, "annotations", as("Docker 24"), process},
		{below, "hostname domainname dns dns_opt dns_search extra_hosts networks", yes, process},
		{below, "mac_address", as("of the first network; Docker 25"), process},
		{below, "network_mode", as("host, none, bridge, service:NAME, container:NAME"), process},
		{below, "volumes volumes_from tmpfs secrets configs", yes, process},
		{below, "mem_limit mem_reservation mem_swappiness memswap_limit shm_size cpus cpu_shares cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpuset pids_limit oom_kill_disable oom_score_adj ulimits blkio_config cgroup_parent gpus", yes, process},
		{below, "cap_add cap_drop cgroup device_cgroup_rules devices group_add ipc pid privileged read_only runtime security_opt storage_opt sysctls userns_mode uts", yes, process},
		{below, "umask", as("where the engine knows it"), process},
		{below, "stdin_open tty", yes, process},
		{below, "container_name", as("of one container"), process},
		{below, "links external_links", as("names in the networks of the service"), process},
		{below, "pre_start post_start pre_stop models attach use_api_socket", without(notYet), process},
		{below, "cpu_count cpu_percent credential_spec isolation", without(onlyWindows), process},
		{below, "develop", without("files are not watched in this version"), without("files are not watched in this version")},
		{below, "provider", mistaken("it is not part of this version"), mistaken("it is not part of this version")},
	}
}

func buildKeys() []keyGroup {
	const s = "services.*."
	return []keyGroup{
		{s + "build", "context dockerfile dockerfile_inline args labels cache_from extra_hosts network no_cache pull secrets shm_size tags target ulimits", yes, nothing},
		{s + "build", "platforms", as("of several " + needsBuildx), nothing},
		{s + "build", "additional_contexts ssh privileged entitlements", as(needsBuildx), nothing},
		{s + "build", "cache_to no_cache_filter provenance sbom", as(mayBuildx), nothing},
		{s + "build", "isolation", without(onlyWindows), nothing},
		{s + "build.secrets[]", "source target", yes, nothing},
		{s + "build.secrets[]", "uid gid mode", without("RUN --mount sets them"), nothing},
		{s + "build.ulimits.*", "hard soft", yes, nothing},
	}
}

// lifeKeys say when and how often a service runs, and how it is changed.
func lifeKeys() []keyGroup {
	const s = "services.*."
	return []keyGroup{
		{s + "depends_on.*", "condition required", yes, yes},
		{s + "depends_on.*", "restart", yes, yes},
		{s + "deploy", "replicas restart_policy update_config", yes, yes},
		{s + "deploy", "resources", yes, without("limits are not enforced on processes")},
		{s + "deploy", "labels", nothing, nothing},
		{s + "deploy", "rollback_config", without("a failed deploy keeps the old workers"), without("a failed deploy keeps the old workers")},
		{s + "deploy", "mode endpoint_mode placement", without(onlySwarm), without(onlySwarm)},
		{s + "deploy.resources", "limits reservations", yes, nothing},
		{s + "deploy.resources.limits", "cpus memory pids", yes, nothing},
		{s + "deploy.resources.reservations", "memory devices", yes, nothing},
		{s + "deploy.resources.reservations", "cpus generic_resources", without(onlySwarm), nothing},
		{s + "deploy.resources.reservations.devices[]", "capabilities count device_ids driver options", yes, nothing},
		{s + "deploy.restart_policy", "condition delay max_attempts window", yes, yes},
		{s + "deploy.update_config", "parallelism delay order", yes, yes},
		{s + "deploy.update_config", "failure_action monitor max_failure_ratio", without("a new worker must prove its health before an old one goes"), without("a new worker must prove its health before an old one goes")},
	}
}

func nestedKeys() []keyGroup {
	const s = "services.*."
	return []keyGroup{
		{s + "env_file[]", "path format required", yes, yes},
		{s + "extends", "service file", yes, yes},
		{s + "healthcheck", "test disable interval timeout retries start_period", yes, yes},
		{s + "healthcheck", "start_interval", as("Docker 25"), yes},
		{s + "logging", "driver options", yes, as("other drivers are warned of")},
		{s + "ports[]", "target published host_ip", as("the balancer listens; of a range on all ports"), as("the balancer listens; of a range on all ports")},
		{s + "ports[]", "protocol", as("Docker publishes what is not tcp, with a warning"), as("what is not tcp is ignored, with a warning")},
		{s + "ports[]", "app_protocol", as("a word that is no HTTP: whole connections are balanced"), as("a word that is no HTTP: whole connections are balanced")},
		{s + "ports[]", "mode", as("host: Docker publishes it"), nothing},
		{s + "ports[]", "name", nothing, nothing},
		{s + "networks.*", "aliases ipv4_address ipv6_address link_local_ips priority driver_opts use_service_name_alias", yes, nothing},
		{s + "networks.*", "mac_address", as("Docker 25"), nothing},
		{s + "networks.*", "gw_priority interface_name", as("Docker 28"), nothing},
		{s + "volumes[]", "source target read_only consistency bind volume tmpfs", yes, nothing},
		{s + "volumes[]", "type", as("bind, volume, tmpfs, image; others are an error"), nothing},
		{s + "volumes[]", "image", as("Docker 28"), nothing},
		{s + "volumes[].bind", "propagation create_host_path selinux", yes, nothing},
		{s + "volumes[].bind", "recursive", as("Docker 25"), nothing},
		{s + "volumes[].volume", "labels nocopy", yes, nothing},
		{s + "volumes[].volume", "subpath", as("Docker 26"), nothing},
		{s + "volumes[].tmpfs", "size mode", yes, nothing},
		{s + "volumes[].image", "subpath", as("Docker 28"), nothing},
		{s + "secrets[]", "source target", yes, nothing},
		{s + "secrets[]", "uid gid mode", as("of a secret that is no file; a file is mounted as it is, with a warning"), nothing},
		{s + "configs[]", "source target", yes, nothing},
		{s + "configs[]", "uid gid mode", as("of a config that is no file; a file is mounted as it is, with a warning"), nothing},
		{s + "ulimits.*", "hard soft", yes, nothing},
		{s + "devices[]", "source target permissions", yes, nothing},
		{s + "gpus[]", "capabilities count device_ids driver options", yes, nothing},
		{s + "blkio_config", "weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops", yes, nothing},
		{s + "blkio_config.weight_device[]", "path weight", yes, nothing},
		{s + "blkio_config.device_read_bps[]", "path rate", yes, nothing},
		{s + "blkio_config.device_read_iops[]", "path rate", yes, nothing},
		{s + "blkio_config.device_write_bps[]", "path rate", yes, nothing},
		{s + "blkio_config.device_write_iops[]", "path rate", yes, nothing},
	}
}

// sharedKeys are those of the parts that containers refer to by name.
func sharedKeys() []keyGroup {
	groups := []keyGroup{
		{"networks.*", "name driver driver_opts ipam external internal enable_ipv6 attachable labels", yes, nothing},
		{"networks.*", "enable_ipv4", as("Docker 28"), nothing},
		{"networks.*.ipam", "driver options config", yes, nothing},
		{"networks.*.ipam.config[]", "subnet ip_range gateway aux_addresses", yes, nothing},
		{"networks.*.external", "name", yes, nothing},
		{"volumes.*", "name driver driver_opts external labels", yes, nothing},
		{"volumes.*.external", "name", yes, nothing},
		{"configs.*", "content", yes, nothing},
		{"secrets.*", "driver driver_opts", mistaken(onlySwarm), nothing},
	}
	for _, part := range []string{"secrets.*", "configs.*"} {
		groups = append(groups,
			keyGroup{part, "file environment", yes, nothing},
			keyGroup{part, "external template_driver", mistaken(onlySwarm), nothing},
			keyGroup{part, "name labels", nothing, nothing},
		)
	}
	return groups
}

// keyTree finds the fates of a path.
type keyTree struct {
	children map[string]*keyTree
	group    *keyGroup // nil: a part of a path alone
}

func newKeyTree() *keyTree {
	root := &keyTree{children: map[string]*keyTree{}}
	for _, g := range keyTable() {
		for _, path := range g.paths() {
			node := root
			for _, step := range strings.Split(strings.ReplaceAll(path, "[]", ".[]"), ".") {
				if node.children[step] == nil {
					node.children[step] = &keyTree{children: map[string]*keyTree{}}
				}
				node = node.children[step]
			}
			node.group = &g
		}
	}
	return root
}

// find returns the group of a key, given as the steps of its path; nil where it has
// none of its own. Above are the groups of what it is a part of.
func (t *keyTree) find(steps []string) (group *keyGroup, above []*keyGroup) {
	node := t
	for i, step := range steps {
		next := node.children[step]
		for _, wildcard := range []string{"*", "[]"} {
			if next == nil {
				next = node.children[wildcard]
			}
		}
		if next == nil {
			return nil, above
		}
		node = next
		if i < len(steps)-1 && node.group != nil {
			above = append(above, node.group)
		}
	}
	return node.group, above
}

// warning is what is said of a key that a service, or the file, has; empty where
// nothing is. For a key of a service, path is what stands below its name.
func (t *keyTree) warning(service, path string, of func(*keyGroup) fate) string {
	steps, who := strings.Split(path, "."), ""
	if service != "" {
		steps, who = append([]string{"services", "*"}, steps...), " of service "+service
	}
	group, above := t.find(steps)
	if group == nil || of(group).effect != ignored {
		return ""
	}
	for _, g := range above {
		if of(g).effect != done {
			return "" // the whole has been warned of
		}
	}
	return fmt.Sprintf("%s%s is ignored: %s", path, who, of(group).note)
}
