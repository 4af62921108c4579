package spec

import "slices"

// SettleRestarts decides what the file leaves open, where the services themselves
// tell: a service for whose completion another one waits does its work once, and
// one that publishes ports is there to serve, whatever it does. What the others
// are only their runs show (see worker.Machine).
func SettleRestarts(services []Service) {
	for i := range services {
		s := &services[i]
		switch {
		case s.Restart.Condition != RestartServing:
		case slices.ContainsFunc(services, s.mustComplete):
			s.Restart.Condition = RestartNever
		case s.publishes():
			s.Restart.Condition = RestartAlways
		}
	}
}

// mustComplete reports whether other waits for the end of s.
func (s *Service) mustComplete(other Service) bool {
	return slices.ContainsFunc(other.DependsOn, func(d Dependency) bool { return d.Service == s.Name && d.Condition == ServiceCompleted })
}

// publishes reports whether clients reach the service by a port of the file.
func (s *Service) publishes() bool {
	return len(s.Ports) > 0 || s.Pool != "" || s.Container != nil && len(s.Container.HostPorts) > 0
}
