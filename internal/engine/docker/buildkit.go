package docker

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/jsonmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"bulsa/internal/spec"
)

// buildKit builds by BuildKit. The context travels in the request, as for the
// classic builder; what else BuildKit asks for while it builds, credentials and
// secrets, it gets over a session.
func (j job) buildKit(ctx context.Context, content io.Reader, options client.ImageBuildOptions) error {
	own, err := j.openSession(ctx)
	if err != nil {
		return fmt.Errorf("BuildKit does not answer (DOCKER_BUILDKIT=0 builds without it): %w", plain(err))
	}
	defer own.Close()
	options.Version, options.SessionID = build.BuilderBuildKit, own.ID()
	answer, err := j.conn.ImageBuild(ctx, content, options)
	if err != nil {
		return plain(err)
	}
	defer answer.Body.Close()
	t := newTrace()
	if err := jsonmessage.DisplayMessages(t.messages(answer.Body), j.images.Out); err != nil {
		return t.explain(plain(err))
	}
	return nil
}

// openSession returns a session that the engine has taken, until it is closed.
func (j job) openSession(ctx context.Context) (*session.Session, error) {
	file, err := dockerConfig()
	if err != nil {
		return nil, err
	}
	own, err := session.NewSession(ctx, "")
	if err != nil {
		return nil, err
	}
	secrets := map[string][]byte{}
	for _, s := range j.container.Build.Secrets {
		if secrets[s.ID], err = secretContent(s); err != nil {
			return nil, fmt.Errorf("the secret %s cannot be read: %w", s.ID, err)
		}
	}
	own.Allow(secretsprovider.FromMap(secrets))
	own.Allow(keychain{file: file})
	dialed := make(chan error, 1)
	go func() {
		// What goes wrong after the dial shows in the build.
		_ = own.Run(ctx, func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			conn, err := j.conn.DialHijack(ctx, "/session", proto, meta)
			dialed <- err
			return conn, err
		})
	}()
	if err := <-dialed; err != nil {
		return nil, err
	}
	return own, nil
}

func secretContent(s spec.BuildSecret) ([]byte, error) {
	if s.File == "" {
		return []byte(s.Content), nil
	}
	return os.ReadFile(s.File)
}

// keychain gives BuildKit the credentials of docker's configuration.
type keychain struct {
	auth.UnimplementedAuthServer
	file *configfile.ConfigFile
}

// Register makes it part of a session.
func (k keychain) Register(s *grpc.Server) { auth.RegisterAuthServer(s, k) }

// Credentials are those for a registry; none if docker knows none.
func (k keychain) Credentials(_ context.Context, r *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	domain := r.Host
	if domain == "registry-1.docker.io" {
		domain = dockerHub
	}
	found, err := k.file.GetAuthConfig(domain)
	if err != nil {
		return nil, err
	}
	if found.IdentityToken != "" {
		return &auth.CredentialsResponse{Secret: found.IdentityToken}, nil
	}
	return &auth.CredentialsResponse{Username: found.Username, Secret: found.Password}, nil
}

// GetTokenAuthority says that the engine is to fetch its tokens by itself.
func (k keychain) GetTokenAuthority(context.Context, *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	return nil, status.Error(codes.Unavailable, "tokens are not fetched here")
}
