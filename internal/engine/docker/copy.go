package docker

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/moby/go-archive"
	"github.com/moby/moby/client"
)

// CopyFrom brings a file or a folder out of a worker's container, as cp -a would. To
// "-" it goes as a tar archive to out.
func (o *Operator) CopyFrom(ctx context.Context, worker, path, to string, out io.Writer) error {
	id, err := o.container(ctx, worker)
	if err != nil {
		return err
	}
	content, err := o.conn.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: path})
	if err != nil {
		return fmt.Errorf("cannot copy %s:%s: %w", worker, path, plain(err))
	}
	defer content.Content.Close()
	if to == "-" {
		_, err := io.Copy(out, content.Content)
		return err
	}
	info := archive.CopyInfo{Path: path, Exists: true, IsDir: content.Stat.Mode.IsDir()}
	if err := archive.CopyTo(content.Content, info, to); err != nil {
		return fmt.Errorf("cannot write %s: %w", to, err)
	}
	return nil
}

// CopyTo brings a file or a folder into a worker's container. From "-" it is a tar
// archive that in has, for a folder.
func (o *Operator) CopyTo(ctx context.Context, worker, from, path string, in io.Reader) error {
	id, err := o.container(ctx, worker)
	if err != nil {
		return err
	}
	if from == "-" {
		return o.unpack(ctx, id, worker, path, in)
	}
	source, err := archive.CopyInfoSourcePath(from, false)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", from, err)
	}
	target := archive.CopyInfo{Path: path}
	if stat, err := o.conn.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: path}); err == nil {
		target.Exists, target.IsDir = true, stat.Stat.Mode.IsDir()
	}
	packed, err := archive.TarResource(source)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", from, err)
	}
	defer packed.Close()
	folder, content, err := archive.PrepareArchiveCopy(packed, source, target)
	if err != nil {
		return fmt.Errorf("cannot copy %s to %s:%s: %w", from, worker, path, err)
	}
	defer content.Close()
	return o.unpack(ctx, id, worker, folder, content)
}

func (o *Operator) unpack(ctx context.Context, id, worker, folder string, content io.Reader) error {
	if !strings.HasPrefix(folder, "/") {
		folder = "/" + folder
	}
	_, err := o.conn.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: folder, Content: content, CopyUIDGID: false})
	if err != nil {
		return fmt.Errorf("cannot copy to %s:%s: %w", worker, folder, plain(err))
	}
	return nil
}
