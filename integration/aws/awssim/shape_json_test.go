package awssim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// checkJSON is check for the services that speak JSON.
func (s *shapes) checkJSON(r *http.Request, body []byte) error {
	target := r.Header.Get("X-Amz-Target")
	m, err := s.model(strings.Split(r.Header.Get("Authorization"), "/")[3])
	if err != nil || len(m.Shapes) == 0 {
		return err
	}
	action := target[strings.LastIndexByte(target, '.')+1:]
	out := m.Operations[action].Output.Shape
	if len(body) == 0 && out == "" {
		return nil
	}
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("%s: %s: %w", action, body, err)
	}
	return m.fitsJSON(doc, out, action)
}

// fitsJSON reports what of a value its shape does not have.
func (m model) fitsJSON(v any, name, path string) error {
	sh, bad := m.Shapes[name], fmt.Errorf("%s: %v is no %s", path, v, m.Shapes[name].Type)
	switch sh.Type {
	case "structure":
		fields, ok := v.(map[string]any)
		if !ok {
			return bad
		}
		for field, kid := range fields {
			if newer()[path+"/"+field] {
				continue
			}
			to, known := sh.Members[field]
			if !known {
				return fmt.Errorf("%s: %s has no %s", path, name, field)
			}
			if err := m.fitsJSON(kid, to.Shape, path+"/"+field); err != nil {
				return err
			}
		}
	case "list":
		all, ok := v.([]any)
		if !ok {
			return bad
		}
		for _, kid := range all {
			if err := m.fitsJSON(kid, sh.Member.Shape, path); err != nil {
				return err
			}
		}
	case "map":
		if _, ok := v.(map[string]any); !ok {
			return bad
		}
	case "string":
		text, ok := v.(string)
		if !ok || len(sh.Enum) > 0 && !strings.Contains("\n"+strings.Join(sh.Enum, "\n")+"\n", "\n"+text+"\n") {
			return bad
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return bad
		}
	case "timestamp", "integer", "long", "double", "float":
		if _, ok := v.(float64); !ok {
			return bad
		}
	default:
		return fmt.Errorf("%s: the shape %s is not known", path, name)
	}
	return nil
}
