package spec

import "testing"

func TestTheHeadersLimitFollowsNodes(t *testing.T) {
	for name, c := range map[string]struct {
		limit int
		args  []string
		env   []string
		want  int
	}{
		"usual":            {16 << 10, []string{"node", "app.js"}, nil, 16 << 10},
		"an option":        {16 << 10, []string{"node", "--max-http-header-size=65536", "app.js"}, nil, 64 << 10},
		"two words":        {16 << 10, []string{"node", "--max-http-header-size", "32768", "app.js"}, nil, 32 << 10},
		"underscores":      {16 << 10, []string{"node", "--max_http_header_size=32768", "app.js"}, nil, 32 << 10},
		"the environment":  {16 << 10, []string{"node", "app.js"}, []string{"A=b", "NODE_OPTIONS=--trace-warnings --max-http-header-size=20000"}, 20000},
		"both":             {16 << 10, []string{"node", "--max-http-header-size=65536", "app.js"}, []string{"NODE_OPTIONS=--max-http-header-size=20000"}, 64 << 10},
		"one of its own":   {8 << 10, []string{"node", "--max-http-header-size=65536", "app.js"}, nil, 8 << 10},
		"too much":         {16 << 10, []string{"node", "--max-http-header-size=99999999", "app.js"}, nil, 1 << 20},
		"not a number":     {16 << 10, []string{"node", "--max-http-header-size=big", "app.js"}, nil, 16 << 10},
		"nothing after it": {16 << 10, []string{"node", "--max-http-header-size"}, nil, 16 << 10},
	} {
		s := NewService("app")
		s.Limits.Header, s.Command.Args, s.Command.Env = c.limit, c.args, c.env
		if got := s.HeaderLimit(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
