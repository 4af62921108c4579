package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"bulsa/internal/api"
	"bulsa/internal/engine"
	"bulsa/internal/inner"
)

const (
	// labelReport is the name of the folder in which a bulsa inside reports.
	labelReport = "bulsa.report"
	// reportFolder is where the container finds that folder.
	reportFolder = "/run/bulsa-outside"
	// reportPatience is how long a bulsa that the file asks for may take to report.
	reportPatience = 10 * time.Second
)

// offerReports gives a container that has a bulsa inside what that needs to be
// told how many workers are wanted, and to report how they are: a folder of its
// own with a socket, which it cannot write. Others are left as they are.
func (r *run) offerReports(ctx context.Context, conn *connection, o *client.ContainerCreateOptions) error {
	root, s := r.engine.cfg.ReportDir, r.launch.Release.Service
	if root == "" || !conn.shares() || s.Container.Workers == "" && !startsBulsa(ctx, conn, o.Config) {
		return nil
	}
	name := make([]byte, 8)
	rand.Read(name)
	folder := hex.EncodeToString(name)
	if err := inner.MakeFolder(root, folder); err != nil {
		return fmt.Errorf("cannot make a folder for the reports of the bulsa inside: %w", err)
	}
	o.HostConfig.Mounts = append(o.HostConfig.Mounts, mount.Mount{Type: mount.TypeBind, Source: filepath.Join(root, folder), Target: reportFolder, ReadOnly: true})
	o.Config.Labels[labelReport] = folder
	o.Config.Env = append(o.Config.Env, inner.ReportVariable+"="+reportFolder+"/"+inner.SocketName, inner.GraceVariable+"="+s.Stop.Grace.String())
	if s.Container.Workers != "" {
		o.Config.Env = append(o.Config.Env, inner.WorkersVariable+"="+s.Container.Workers)
	}
	return nil
}

// withoutReports takes back what offerReports gave, for an engine that sees
// other folders than bulsa does; false: nothing was given, or it is not to blame.
func withoutReports(o *client.ContainerCreateOptions, err error) bool {
	i := slices.IndexFunc(o.HostConfig.Mounts, func(m mount.Mount) bool { return m.Target == reportFolder })
	if i < 0 || !strings.Contains(err.Error(), "bind source path does not exist: "+o.HostConfig.Mounts[i].Source) {
		return false
	}
	o.HostConfig.Mounts = slices.Delete(o.HostConfig.Mounts, i, i+1)
	o.Config.Env = slices.DeleteFunc(o.Config.Env, func(e string) bool { return strings.HasPrefix(e, inner.ReportVariable+"=") })
	delete(o.Config.Labels, labelReport)
	return true
}

// shares reports whether the engine's containers can see this machine's folders,
// with the sockets in them.
func (c *connection) shares() bool {
	return strings.HasPrefix(c.DaemonHost(), "unix://") && !c.desktop
}

// startsBulsa reports whether the command of a container names a bulsa.
func startsBulsa(ctx context.Context, conn *connection, config *container.Config) bool {
	entrypoint, command := config.Entrypoint, config.Cmd
	if entrypoint == nil || command == nil {
		image, err := conn.ImageInspect(ctx, config.Image)
		if err != nil || image.Config == nil {
			return false // what is wrong shows when the container is created
		}
		if config.Entrypoint == nil {
			entrypoint = image.Config.Entrypoint
			if command == nil {
				command = image.Config.Cmd
			}
		}
	}
	return slices.ContainsFunc(slices.Concat(entrypoint, command), func(word string) bool {
		return filepath.Base(word) == "bulsa" || strings.Contains(word, "bulsa run ") || strings.Contains(word, "bulsa up")
	})
}

// remakeFolder makes the folder of a container that is to be started again,
// should it have gone with a reboot.
func (e *Engine) remakeFolder(labels map[string]string) {
	if folder := labels[labelReport]; e.cfg.ReportDir != "" && isFolder(folder) {
		_ = inner.MakeFolder(e.cfg.ReportDir, folder) // the start tells whether it was missing
	}
}

// isFolder reports whether a label holds what offerReports has written.
func isFolder(name string) bool {
	_, err := hex.DecodeString(name)
	return err == nil && len(name) == 16
}

// listen begins to hear the bulsa inside. r.mu is held.
func (r *run) listen(c container.InspectResponse) {
	folder := c.Config.Labels[labelReport]
	root := r.engine.cfg.ReportDir
	if root == "" || !isFolder(folder) || !slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool {
		return m.Destination == reportFolder && m.Source == filepath.Join(root, folder)
	}) {
		return
	}
	l, err := inner.Listen(root, folder)
	if err != nil {
		r.send(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("cannot listen to the bulsa inside its container: %v", err)})
		return
	}
	heard := make(chan struct{}, 1)
	r.engine.work.Go(func() {
		l.Hear(r.ctx, func(report *api.Inside) {
			select {
			case heard <- struct{}{}:
			default:
			}
			r.emit(engine.Fact{Kind: engine.Reported, Report: report})
		}, func(err error) {
			r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("what comes from inside its container is not listened to: %v", err)})
		})
	})
	if r.launch.Release.Service.Container.Workers != "" {
		r.engine.work.Go(func() { r.missReport(heard) })
	}
}

// missReport tells when the bulsa that the file asks for does not report.
func (r *run) missReport(heard <-chan struct{}) {
	select {
	case <-heard:
	case <-r.ctx.Done():
	case <-time.After(reportPatience):
		r.emit(engine.Fact{Kind: engine.Notice, Message: "no bulsa inside its container reports: x-bulsa.workers needs an image whose entrypoint is bulsa run, of this version or newer"})
	}
}

// dropFolder removes the folder of a container that is removed.
func (e *Engine) dropFolder(id string) {
	e.mu.Lock()
	folder := e.folders[id]
	delete(e.folders, id)
	e.mu.Unlock()
	if folder != "" {
		_ = os.RemoveAll(filepath.Join(e.cfg.ReportDir, folder)) // the rest goes at the end of the project
	}
}

// keepFolder notes which folder belongs to a container.
func (e *Engine) keepFolder(id string, labels map[string]string) {
	if folder := labels[labelReport]; isFolder(folder) {
		e.mu.Lock()
		e.folders[id] = folder
		e.mu.Unlock()
	}
}

// dropFolders removes what is left when no container is.
func (e *Engine) dropFolders() error {
	if e.cfg.ReportDir == "" {
		return nil
	}
	return os.RemoveAll(e.cfg.ReportDir)
}
