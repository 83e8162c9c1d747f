package awssim

import "slices"

// ActionNames lists everything that the simulator can do, such as "kms:ListGrants".
func (s *Sim) ActionNames() []string {
	var out []string
	for name, svc := range s.services {
		for act := range svc.actions {
			out = append(out, permission(name, act))
		}
	}
	slices.Sort(out)
	return out
}
