package docker

import (
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"bulsa/internal/spec"
)

// addMount adds a mount. Only the older form of a bind makes a missing folder and
// labels it for SELinux; only the newer one says how mounts below it are taken.
func addMount(h *container.HostConfig, m spec.Mount) {
	if m.Type == "bind" && m.Nested == "" && (m.Create || m.SELinux != "") || m.Type == "volume" && m.SELinux != "" {
		h.Binds = append(h.Binds, bindText(m))
		return
	}
	out := mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly, Consistency: mount.Consistency(m.Usage)}
	switch m.Type {
	case "bind":
		out.BindOptions = bindOptions(m)
	case "volume":
		out.VolumeOptions = &mount.VolumeOptions{NoCopy: m.NoCopy, Subpath: m.Subpath, Labels: m.Marks}
	case "image":
		if m.Subpath != "" {
			out.ImageOptions = &mount.ImageOptions{Subpath: m.Subpath}
		}
	case "tmpfs":
		out.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: m.Size, Mode: fileMode(m.Mode)}
	}
	h.Mounts = append(h.Mounts, out)
}

// bindText is the older form of a bind.
func bindText(m spec.Mount) string {
	options := []string{"rw"}
	if m.ReadOnly {
		options[0] = "ro"
	}
	for _, option := range []string{m.Spread, m.SELinux, m.Usage} {
		if option != "" {
			options = append(options, option)
		}
	}
	if m.NoCopy {
		options = append(options, "nocopy")
	}
	return m.Source + ":" + m.Target + ":" + strings.Join(options, ",")
}

// bindOptions are those of the newer form; nil where there are none.
func bindOptions(m spec.Mount) *mount.BindOptions {
	o := mount.BindOptions{
		Propagation: mount.Propagation(m.Spread), NonRecursive: m.Nested == "disabled", ReadOnlyNonRecursive: m.Nested == "writable",
		ReadOnlyForceRecursive: m.Nested == "readonly", CreateMountpoint: m.Create && m.Nested != "",
	}
	if o == (mount.BindOptions{}) {
		return nil
	}
	return &o
}
