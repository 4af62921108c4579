package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// choir is a gRPC server that somebody else runs: it sings what it is told.
type choir struct {
	address string
	name    string
	calls   atomic.Int64
	server  *grpc.Server
}

func newChoir(t *testing.T, name string) *choir {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &choir{address: l.Addr().String(), name: name, server: grpc.NewServer()}
	c.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "choir.Choir",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Sing", Handler: c.sing}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Repeat", Handler: c.repeat, ServerStreams: true},
			{StreamName: "Answer", Handler: c.answer, ServerStreams: true, ClientStreams: true},
		},
	}, c)
	go c.server.Serve(l)
	t.Cleanup(c.server.Stop)
	return c
}

func (c *choir) sing(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	c.calls.Add(1)
	var in wrapperspb.StringValue
	if err := decode(&in); err != nil {
		return nil, err
	}
	grpc.SetTrailer(ctx, metadata.Pairs("x-singer", c.name))
	if in.Value == "" {
		return nil, status.Error(codes.InvalidArgument, "nothing to sing: 100 %")
	}
	return wrapperspb.String(in.Value + " by " + c.name), nil
}

func (c *choir) repeat(_ any, s grpc.ServerStream) error {
	var in wrapperspb.StringValue
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	for i := range 100 {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(in.Value, i))); err != nil {
			return err
		}
	}
	s.SetTrailer(metadata.Pairs("x-count", "100"))
	return nil
}

func (c *choir) answer(_ any, s grpc.ServerStream) error {
	for {
		var in wrapperspb.StringValue
		err := s.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Aborted, "the end")
		}
		if err != nil || s.SendMsg(wrapperspb.String("re: "+in.Value)) != nil {
			return err
		}
	}
}

// TestGRPCPassesBothWays: unary calls, streams, statuses and trailers, over TLS and
// without, each call to another server.
func TestGRPCPassesBothWays(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t), newAuthority(t)
	a.files(w, "a", "a.example")
	first, second := newChoir(t, "first"), newChoir(t, "second")
	secure, plain := freePort(t), freePort(t)
	w.up(fmt.Sprintf(`
services:
  app:
    ports: ["127.0.0.1:%s:80"]
    x-bulsa:
      servers: [%q, %q]
      balance: round_robin
      upstream: h2c
      tls: {certificates: [{cert: a.pem, key: a.key}]}
  clear:
    ports: ["127.0.0.1:%s:80"]
    x-bulsa: {servers: [%q, %q], balance: round_robin, upstream: h2c}
`, secure, first.address, second.address, plain, first.address, second.address)).says("ready after")
	for name, by := range map[string]struct {
		port        string
		credentials credentials.TransportCredentials
	}{
		"TLS": {secure, credentials.NewTLS(&tls.Config{RootCAs: a.pool, ServerName: "a.example"})},
		"h2c": {plain, insecure.NewCredentials()},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := grpc.NewClient("127.0.0.1:"+by.port, grpc.WithTransportCredentials(by.credentials))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			calls(ctx, t, conn)
			streams(ctx, t, conn)
		})
	}
	if x, y := first.calls.Load(), second.calls.Load(); x == 0 || y == 0 {
		t.Errorf("one connection's calls: %d went to the first server, %d to the second", x, y)
	}
}

func calls(ctx context.Context, t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	for range 4 {
		var out wrapperspb.StringValue
		var trailer metadata.MD
		if err := conn.Invoke(ctx, "/choir.Choir/Sing", wrapperspb.String("la"), &out, grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		if singer := trailer.Get("x-singer"); len(singer) != 1 || out.Value != "la by "+singer[0] {
			t.Errorf("%q, trailer %v", out.Value, trailer)
		}
	}
	err := conn.Invoke(ctx, "/choir.Choir/Sing", wrapperspb.String(""), new(wrapperspb.StringValue))
	if s := status.Convert(err); s.Code() != codes.InvalidArgument || s.Message() != "nothing to sing: 100 %" {
		t.Errorf("the status is %v", err)
	}
	if err := conn.Invoke(ctx, "/choir.Choir/Shout", wrapperspb.String(""), new(wrapperspb.StringValue)); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown method: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	s, err := conn.NewStream(short, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/choir.Choir/Answer")
	if err == nil {
		err = s.RecvMsg(new(wrapperspb.StringValue))
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call that takes too long: %v", err)
	}
}

func streams(ctx context.Context, t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/choir.Choir/Repeat")
	if err != nil || s.SendMsg(wrapperspb.String("n")) != nil || s.CloseSend() != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		var out wrapperspb.StringValue
		err := s.RecvMsg(&out)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || out.Value != fmt.Sprint("n", n) {
			t.Fatalf("message %d: %q, %v", n, out.Value, err)
		}
	}
	if count := s.Trailer().Get("x-count"); n != 100 || len(count) != 1 || count[0] != "100" {
		t.Errorf("%d messages, trailer %v", n, s.Trailer())
	}
	s, err = conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/choir.Choir/Answer")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // each message is answered before the next
		var out wrapperspb.StringValue
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&out); err != nil || out.Value != fmt.Sprint("re: ", i) {
			t.Fatalf("%q %v", out.Value, err)
		}
	}
	s.CloseSend()
	if err := s.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.Aborted || status.Convert(err).Message() != "the end" {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestGRPCCallsOutliveAServerThatLeaves: what a server has not begun goes to the
// other one.
func TestGRPCCallsOutliveAServerThatLeaves(t *testing.T) {
	t.Parallel()
	first, second := newChoir(t, "first"), newChoir(t, "second")
	w, port := newWorld(t), freePort(t)
	w.up(fmt.Sprintf("services:\n  app:\n    ports: [\"127.0.0.1:%s:80\"]\n    x-bulsa: {servers: [%q, %q], balance: round_robin, upstream: h2c}\n", port, first.address, second.address)).says("ready after")
	conn, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 40 {
		if i == 20 {
			first.server.GracefulStop() // GOAWAY, and then nobody listens
		}
		var out wrapperspb.StringValue
		if err := conn.Invoke(ctx, "/choir.Choir/Sing", wrapperspb.String("la"), &out); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}
