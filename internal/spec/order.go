package spec

import (
	"fmt"
	"slices"
	"strings"
)

// SortServices brings services into start order: each stands after all it
// depends on, and by name where the dependencies do not decide. A cycle, or
// a required dependency that does not exist, is a *Problem.
func SortServices(services []Service) ([]Service, error) {
	o := ordering{byName: map[string]Service{}, done: map[string]bool{}}
	var names []string
	for _, s := range services {
		o.byName[s.Name] = s
		names = append(names, s.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := o.visit(name, nil); err != nil {
			return nil, err
		}
	}
	return o.sorted, nil
}

// ordering is one depth-first walk over the dependencies.
type ordering struct {
	byName map[string]Service
	done   map[string]bool
	sorted []Service
}

func (o *ordering) visit(name string, path []string) error {
	if o.done[name] {
		return nil
	}
	if i := slices.Index(path, name); i >= 0 {
		circle := append(slices.Clone(path[i:]), name)
		return &Problem{
			Where: "services." + name + ".depends_on",
			What:  "services " + strings.Join(circle, " -> ") + " depend on each other",
			Fix:   "remove one of these dependencies",
		}
	}
	service := o.byName[name]
	for _, dependency := range sortedDependencies(service) {
		if _, known := o.byName[dependency.Service]; !known {
			if dependency.Required {
				return o.unknown(name, dependency.Service)
			}
			continue
		}
		if err := o.visit(dependency.Service, append(path, name)); err != nil {
			return err
		}
	}
	o.done[name] = true
	o.sorted = append(o.sorted, service)
	return nil
}

func (o *ordering) unknown(name, wanted string) error {
	var names []string
	for n := range o.byName {
		if n != name { // it cannot have meant itself
			names = append(names, n)
		}
	}
	slices.Sort(names)
	fix := fmt.Sprintf("name a service of this project, or set required: false on %s", wanted)
	if near := Nearest(wanted, names); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return &Problem{
		Where: "services." + name + ".depends_on." + wanted,
		What:  fmt.Sprintf("service %s depends on %s, which does not exist or has no active profile", name, wanted),
		Fix:   fix,
	}
}

func sortedDependencies(s Service) []Dependency {
	return slices.SortedFunc(slices.Values(s.DependsOn), func(a, b Dependency) int {
		return strings.Compare(a.Service, b.Service)
	})
}
