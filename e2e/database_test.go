package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// inDatabase is what a command of root in a container says.
func inDatabase(t *testing.T, docker *client.Client, id string, args ...string) string {
	t.Helper()
	made, err := docker.ExecCreate(t.Context(), id, client.ExecCreateOptions{Cmd: args, User: "0", AttachStdout: true, AttachStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := docker.ExecAttach(t.Context(), made.ID, client.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, stream.Reader); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// databaseTime is how long a database may take for an answer: one that is being stopped
// takes connections and says no more.
const databaseTime = 5 * time.Second

// redisConn speaks as much of RESP as the tests need.
type redisConn struct {
	net.Conn
	in *bufio.Reader
}

func openRedis(address string) (database, error) {
	conn, err := net.DialTimeout("tcp", address, databaseTime)
	if err != nil {
		return nil, err
	}
	return &redisConn{conn, bufio.NewReader(conn)}, nil
}

func (c *redisConn) insert(n int) error {
	c.SetDeadline(time.Now().Add(databaseTime))
	if _, err := fmt.Fprintf(c, "SADD rows %d\r\n", n); err != nil {
		return err
	}
	line, err := c.line()
	if err == nil && line != ":1" {
		err = errors.New(line)
	}
	return err
}

func (c *redisConn) line() (string, error) {
	line, err := c.in.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

func (c *redisConn) rows() ([]int, error) {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "SMEMBERS rows\r\n"); err != nil {
		return nil, err
	}
	head, err := c.line()
	if err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(strings.TrimPrefix(head, "*"))
	if err != nil {
		return nil, errors.New(head)
	}
	out := make([]int, count)
	for i := range out {
		if _, err = c.line(); err != nil { // the length
			return nil, err
		}
		text, err := c.line()
		if err != nil {
			return nil, err
		}
		if out[i], err = strconv.Atoi(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// postgresConn speaks as much of PostgreSQL's protocol as the tests need:
// https://www.postgresql.org/docs/current/protocol-message-formats.html
type postgresConn struct {
	net.Conn
	in *bufio.Reader
}

func openPostgres(address string) (database, error) {
	conn, err := net.DialTimeout("tcp", address, databaseTime)
	if err != nil {
		return nil, err
	}
	c := &postgresConn{conn, bufio.NewReader(conn)}
	body := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	conn.SetDeadline(time.Now().Add(databaseTime))
	if _, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err == nil {
		_, err = c.answer()
	}
	if err == nil {
		_, err = c.query("CREATE TABLE IF NOT EXISTS rows (n int)")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *postgresConn) insert(n int) error {
	_, err := c.query(fmt.Sprintf("INSERT INTO rows VALUES (%d)", n))
	return err
}

func (c *postgresConn) rows() ([]int, error) {
	values, err := c.query("SELECT n FROM rows")
	if err != nil {
		return nil, err
	}
	out := make([]int, len(values))
	for i, text := range values {
		if out[i], err = strconv.Atoi(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// query runs one statement, and returns the first column of its rows.
func (c *postgresConn) query(sql string) ([]string, error) {
	c.SetDeadline(time.Now().Add(databaseTime))
	message := append([]byte{'Q'}, binary.BigEndian.AppendUint32(nil, uint32(len(sql)+5))...)
	if _, err := c.Write(append(append(message, sql...), 0)); err != nil {
		return nil, err
	}
	return c.answer()
}

// answer reads until the server is ready for the next query.
func (c *postgresConn) answer() (values []string, failed error) {
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(c.in, head); err != nil {
			return nil, err
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(c.in, body); err != nil {
			return nil, err
		}
		switch head[0] {
		case 'D': // a row: the number of columns, then the length of the first one and its text
			values = append(values, string(body[6:6+binary.BigEndian.Uint32(body[2:])]))
		case 'E':
			failed = errors.New(strings.ReplaceAll(string(body), "\x00", " "))
		case 'Z':
			return values, failed
		}
	}
}
