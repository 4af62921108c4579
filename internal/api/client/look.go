package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"bulsa/internal/api"
)

// Doctor asks what is slow or ill in the services, or in the named one.
func (c *Client) Doctor(ctx context.Context, service string, profile bool) (api.Report, error) {
	var r api.Report
	if profile {
		err := c.post(ctx, "doctor", api.DoctorRequest{Service: service, Profile: true}, &r)
		return r, err
	}
	err := c.do(ctx, http.MethodGet, "doctor?"+url.Values{"service": {service}}.Encode(), nil, &r)
	return r, err
}

// Profile samples a worker's main thread for a time.
func (c *Client) Profile(ctx context.Context, worker string, d time.Duration) (api.Profile, error) {
	var p api.Profile
	err := c.post(ctx, "profile", api.ProfileRequest{Worker: worker, Seconds: d.Seconds()}, &p)
	return p, err
}

// Phases traces a worker's event loop for a time.
func (c *Client) Phases(ctx context.Context, worker string, d time.Duration) (api.Phases, error) {
	var p api.Phases
	err := c.post(ctx, "phases", api.ProfileRequest{Worker: worker, Seconds: d.Seconds()}, &p)
	return p, err
}

// Heap writes a snapshot of a worker's heap to w. After an error what was
// written is no whole snapshot.
func (c *Client) Heap(ctx context.Context, worker string, w io.Writer) error {
	body, err := json.Marshal(api.ProfileRequest{Worker: worker})
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, http.MethodPost, "heap", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	written, err := io.Copy(w, resp.Body)
	if reason := resp.Trailer.Get(api.ErrorTrailer); reason != "" {
		return errors.New(reason)
	}
	if err != nil {
		return fmt.Errorf("the snapshot of %s ended after %d bytes: %w", worker, written, err)
	}
	return nil
}
