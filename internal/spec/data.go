package spec

import (
	"path"
	"slices"
	"strings"
)

// KeepsData reports whether the containers of s write to a volume or a folder
// of the host, which outlives them: two at a time could destroy it. Memory and
// what is read only do not count.
func (s Service) KeepsData() bool {
	return s.Engine == EngineDocker && s.Container != nil &&
		(len(s.Container.Shared()) > 0 || len(s.Container.Anonymous()) > 0 || s.Container.writesBorrowed())
}

// writesBorrowed reports whether volumes_from brings volumes that it may write to.
func (c *Container) writesBorrowed() bool {
	return slices.ContainsFunc(c.VolumesFrom, func(text string) bool { return !strings.HasSuffix(text, ":ro") })
}

// SharesData reports whether both services write to one volume or folder.
func (s Service) SharesData(other Service) bool {
	return s.KeepsData() && other.KeepsData() &&
		slices.ContainsFunc(s.Container.Shared(), func(source string) bool { return slices.Contains(other.Container.Shared(), source) })
}

// oneOf names what the containers write to.
func oneOf(c *Container) string {
	for _, m := range c.Mounts {
		if m.Type != "tmpfs" && m.Type != "image" && !m.ReadOnly && m.Source != "" {
			if m.Key != "" {
				return "the volume " + m.Key
			}
			return m.Source
		}
	}
	if anonymous := c.Anonymous(); len(anonymous) > 0 {
		return "the volume at " + anonymous[0]
	}
	return "the volumes of " + c.VolumesFrom[0]
}

// Shared are the sources of the mounts that a container writes to: names of
// volumes and folders of the host.
func (c *Container) Shared() []string {
	var out []string
	for _, m := range c.Mounts {
		if m.Type != "tmpfs" && m.Type != "image" && !m.ReadOnly && m.Source != "" {
			out = append(out, m.Source)
		}
	}
	return out
}

// Anonymous are the paths in a container at which it gets a volume without a
// name: those that the file or the image asks for.
func (c *Container) Anonymous() []string {
	var out []string
	mounted := map[string]bool{}
	for _, m := range c.Mounts {
		mounted[path.Clean(m.Target)] = true
		if m.Type == "volume" && m.Source == "" && !m.ReadOnly {
			out = append(out, m.Target)
		}
	}
	for _, text := range c.Tmpfs {
		target, _, _ := strings.Cut(text, ":")
		mounted[path.Clean(target)] = true
	}
	for _, target := range c.ImageVolumes {
		if !mounted[path.Clean(target)] {
			out = append(out, target)
		}
	}
	return out
}
