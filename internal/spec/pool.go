package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Owner is the service whose clients the workers of s serve: s itself, unless it
// has joined the pool of another one.
func (s Service) Owner() string { return cmp.Or(s.Pool, s.Name) }

// MainPorts are the ports that lead to the first one of the application.
func (s Service) MainPorts() []Port {
	var main []Port
	for i, p := range s.Ports {
		if i == 0 || p.Target == 0 || p.Target == s.Ports[0].Target {
			main = append(main, p)
		}
	}
	return main
}

// JoinPools gives each service that joins the pool of another one the main ports
// of that one. The only port that it has before says where its own application
// listens, if it says so.
func JoinPools(services []Service) error {
	for i := range services {
		s := &services[i]
		if s.Pool == "" {
			continue
		}
		owner, err := poolOwner(services, s)
		if err != nil {
			return err
		}
		target := 0
		if len(s.Ports) > 0 {
			target = s.Ports[0].Target
		}
		s.Ports = owner.MainPorts()
		for j := range s.Ports {
			if target != 0 || owner.Engine == EngineExternal { // whose target says nothing
				s.Ports[j].Target = target
			}
		}
		s.Balance.Policy, s.Balance.Sticky = owner.Balance.Policy, owner.Balance.Sticky
	}
	return nil
}

// poolOwner is the service whose pool s joins.
func poolOwner(services []Service, s *Service) (*Service, error) {
	v := &checker{path: "services." + s.Name}
	at := slices.IndexFunc(services, func(o Service) bool { return o.Name == s.Pool })
	if at < 0 {
		names := make([]string, 0, len(services))
		for _, o := range services {
			if o.Name != s.Name {
				names = append(names, o.Name)
			}
		}
		fix := "name one of " + strings.Join(names, ", ")
		if near := Nearest(s.Pool, names); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, &Problem{Where: v.path + ".x-bulsa.pool", What: fmt.Sprintf("there is no service %q whose pool %s could join", s.Pool, s.Name), Fix: fix}
	}
	owner := &services[at]
	v.check("x-bulsa.pool", owner.Name != s.Name, "service "+s.Name+" is in its own pool anyway", "remove pool")
	v.check("x-bulsa.pool", owner.Pool == "", fmt.Sprintf("service %s has no pool of its own: it is in that of %s", owner.Name, owner.Pool), "name "+owner.Pool)
	v.check("x-bulsa.pool", len(owner.Ports) > 0, fmt.Sprintf("service %s publishes no port that %s could serve with it", owner.Name, s.Name), "give "+owner.Name+" ports")
	for _, one := range []*Service{owner, s} {
		v.check("x-bulsa.pool", !takesConnections(one), fmt.Sprintf("in mode %s the workers of %s take whole connections, which no pool can share", one.NodeMode, one.Name), "choose another x-bulsa.node")
	}
	if v.err != nil {
		return nil, v.err
	}
	return owner, nil
}

// PoolKeys are the keys of x-bulsa that say how clients are served: the owner of a
// pool says it for all who join.
func PoolKeys() []string {
	return []string{
		"balance", "sticky", "hold", "recall", "limits", "trusted_proxies", "proxy_protocol", "protocol", "send_proxy", "routes", "tls", "upstream", "access_log",
	}
}
