package compose

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

func (c *converter) volumes(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, v := range from.Volumes {
		m := spec.Mount{Type: v.Type, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly, Usage: v.Consistency}
		switch v.Type {
		case "bind":
			if v.Bind != nil {
				m.Create, m.Spread, m.Nested, m.SELinux = bool(v.Bind.CreateHostPath), v.Bind.Propagation, v.Bind.Recursive, v.Bind.SELinux
			}
		case "volume":
			if v.Volume != nil {
				m.NoCopy, m.Subpath, m.Marks = v.Volume.NoCopy, v.Volume.Subpath, v.Volume.Labels
			}
			if v.Bind != nil {
				m.SELinux = v.Bind.SELinux // as in NAME:/PATH:z
			}
			if def, known := c.model.Volumes[v.Source]; known {
				m.Key, m.Source, m.External = v.Source, def.Name, bool(def.External)
				m.Driver, m.Options, m.Labels = def.Driver, def.DriverOpts, def.Labels
			}
		case "tmpfs":
			if v.Tmpfs != nil {
				m.Size, m.Mode = int64(v.Tmpfs.Size), v.Tmpfs.Mode
			}
		case "image":
			if v.Image != nil {
				m.Subpath = v.Image.SubPath
			}
		default:
			return &spec.Problem{Where: fmt.Sprintf("%s.volumes.%d", path, i), What: fmt.Sprintf("a volume of type %q is not part of this version", v.Type), Fix: "use bind, volume, tmpfs or image"}
		}
		s.Container.Mounts = append(s.Container.Mounts, m)
	}
	return nil
}

// files brings secrets and configs in: one that is a file is mounted, any other
// is written into the container before it starts.
func (c *converter) files(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, use := range from.Secrets {
		def := types.FileObjectConfig(c.model.Secrets[use.Source])
		if err := c.file(fmt.Sprintf("%s.secrets.%d", path, i), types.FileReferenceConfig(use), def, "/run/secrets/", s); err != nil {
			return err
		}
	}
	for i, use := range from.Configs {
		def := types.FileObjectConfig(c.model.Configs[use.Source])
		if err := c.file(fmt.Sprintf("%s.configs.%d", path, i), types.FileReferenceConfig(use), def, "/", s); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) file(where string, use types.FileReferenceConfig, def types.FileObjectConfig, folder string, s *spec.Service) error {
	target := use.Target
	if target == "" {
		target = use.Source
	}
	if !strings.HasPrefix(target, "/") {
		target = folder + target
	}
	switch {
	case bool(def.External), def.Driver != "", def.TemplateDriver != "":
		return externalFile(where, use.Source)
	case def.File != "":
		s.Container.Mounts = append(s.Container.Mounts, spec.Mount{Type: "bind", Source: def.File, Target: target, ReadOnly: true})
		if use.UID != "" || use.GID != "" || use.Mode != nil {
			c.warn(where, "uid, gid and mode of %s are ignored: the file %s is mounted as it is", use.Source, def.File)
		}
		return nil
	}
	f := spec.File{Target: target, Content: def.Content, Variable: def.Environment, Mode: 0o444, Secret: folder != "/"}
	if err := c.fromEnvironment(where, use.Source, &f.Content, def.Environment); err != nil {
		return err
	}
	if use.Mode != nil {
		f.Mode = uint32(*use.Mode)
	}
	for _, id := range []struct {
		text  string
		field *int
	}{{use.UID, &f.UID}, {use.GID, &f.GID}} {
		if id.text == "" {
			continue
		}
		n, err := strconv.ParseUint(id.text, 10, 31)
		if err != nil {
			return &spec.Problem{Where: where, What: fmt.Sprintf("%q is not a number of a user or group", id.text), Fix: "write a number such as 1000"}
		}
		*id.field = int(n)
	}
	s.Container.Files = append(s.Container.Files, f)
	return nil
}

func renderMounts(c *spec.Container, out section, d shared) {
	var list []any
	for _, m := range c.Mounts {
		mount := section{"type": m.Type, "target": escape(m.Target)}
		put(mount, "source", escape(m.Source))
		put(mount, "read_only", m.ReadOnly)
		put(mount, "consistency", m.Usage)
		switch m.Type {
		case "bind":
			bind := section{"create_host_path": m.Create}
			put(bind, "propagation", m.Spread)
			put(bind, "recursive", m.Nested)
			put(bind, "selinux", m.SELinux)
			mount["bind"] = bind
		case "tmpfs":
			memory := section{}
			put(memory, "size", m.Size)
			put(memory, "mode", m.Mode)
			if len(memory) > 0 {
				mount["tmpfs"] = memory
			}
		case "image":
			if m.Subpath != "" {
				mount["image"] = section{"subpath": escape(m.Subpath)}
			}
		case "volume":
			options := section{}
			put(options, "nocopy", m.NoCopy)
			put(options, "subpath", escape(m.Subpath))
			put(options, "labels", escapeMap(m.Marks))
			put(mount, "volume", options)
			if m.SELinux != "" {
				mount["bind"] = section{"selinux": m.SELinux}
			}
			if m.Key == "" {
				break
			}
			mount["source"] = m.Key
			volume := section{"name": escape(m.Source)}
			put(volume, "external", m.External)
			put(volume, "driver", m.Driver)
			put(volume, "driver_opts", escapeMap(m.Options))
			put(volume, "labels", escapeMap(m.Labels))
			d.volumes[m.Key] = volume
		}
		list = append(list, mount)
	}
	put(out, "volumes", list)
}

// renderFiles names the variable that a content comes from, never the value.
func renderFiles(c *spec.Container, out section, d shared) {
	var secrets, configs []any
	for _, f := range c.Files {
		key := fmt.Sprintf("file-%d", len(d.secrets)+len(d.configs)+1) // unlike those of other services
		use := section{"source": key, "target": escape(f.Target), "mode": int(f.Mode), "uid": strconv.Itoa(f.UID), "gid": strconv.Itoa(f.GID)}
		def := section{}
		if f.Variable != "" {
			def["environment"] = escape(f.Variable)
		} else {
			def["content"] = escape(f.Content)
		}
		if f.Secret {
			secrets = append(secrets, use)
			d.secrets[key] = def
		} else {
			configs = append(configs, use)
			d.configs[key] = def
		}
	}
	put(out, "secrets", secrets)
	put(out, "configs", configs)
}
