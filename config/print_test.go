package config_test

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// dump writes a value as people read it: a line for each field, truths always, other zero values not.
// What hides itself is hidden here too.
func dump(b *strings.Builder, v reflect.Value, indent string) {
	switch shown := v.Interface().(type) {
	case time.Time:
		fmt.Fprintf(b, " %s\n", shown.Format(time.RFC3339))
		return
	case time.Duration, encoding.TextMarshaler:
		fmt.Fprintf(b, " %s\n", shown)
		return
	}
	switch v.Kind() { //nolint:exhaustive // no configuration has the others
	case reflect.Pointer, reflect.Interface:
		if v.Kind() == reflect.Interface {
			fmt.Fprintf(b, " %s", v.Elem().Type())
		}
		dump(b, v.Elem(), indent)
	case reflect.Struct:
		b.WriteByte('\n')
		for i := range v.NumField() {
			if field := v.Field(i); !field.IsZero() || field.Kind() == reflect.Bool {
				b.WriteString(indent + v.Type().Field(i).Name + ":")
				dump(b, field, indent+"  ")
			}
		}
	case reflect.Slice:
		if kind := v.Type().Elem().Kind(); kind != reflect.Struct {
			fmt.Fprintf(b, " %v\n", v.Interface())
			return
		}
		b.WriteByte('\n')
		for i := range v.Len() {
			b.WriteString(indent + "-")
			dump(b, v.Index(i), indent+"  ")
		}
	case reflect.Map:
		b.WriteByte('\n')
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
		for _, key := range keys {
			b.WriteString(indent + key.String() + ":")
			dump(b, v.MapIndex(key), indent+"  ")
		}
	case reflect.String:
		fmt.Fprintf(b, " %q\n", v.String())
	default:
		fmt.Fprintf(b, " %v\n", v.Interface())
	}
}
