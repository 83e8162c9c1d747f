// Command apiclient calls every operation through the client that was generated from openapi.json. It is built by
// TestGeneratedClient, beside the generated package; stdin has the calls, stdout gets a line for each that went wrong.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	api "github.com/upgradegate/upgradegate/tools/oapi/api"
)

type call struct {
	Op     string
	Path   []string
	Query  url.Values
	Token  string
	Body   string
	Status int
}

func main() {
	var calls []call
	if err := json.NewDecoder(os.Stdin).Decode(&calls); err != nil {
		fmt.Println("read the calls:", err)
		os.Exit(1)
	}
	wrong := 0
	for _, c := range calls {
		if err := c.do(os.Args[1]); err != nil {
			fmt.Printf("%s: %v\n", c.Op, err)
			wrong++
		}
	}
	fmt.Printf("%d calls, %d went wrong\n", len(calls), wrong)
	if wrong > 0 {
		os.Exit(1)
	}
}

func (c call) do(server string) error {
	client, err := api.NewClientWithResponses(server, api.WithHTTPClient(&http.Client{Timeout: time.Minute}), api.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+c.Token)
		r.URL.RawQuery = c.Query.Encode()
		return nil
	}))
	if err != nil {
		return err
	}
	method := reflect.ValueOf(client).MethodByName(strings.ToUpper(c.Op[:1]) + c.Op[1:] + "WithResponse")
	if !method.IsValid() {
		return fmt.Errorf("the client has no such method")
	}
	args := []reflect.Value{reflect.ValueOf(context.Background())}
	path := c.Path
	for i := 1; i < method.Type().NumIn()-1; i++ { // the last one is variadic
		typ := method.Type().In(i)
		arg := reflect.New(typ).Elem()
		switch {
		case typ.Kind() == reflect.Pointer: // parameters of query and header
			arg.Set(reflect.New(typ.Elem()))
		case len(path) > 0 && typ.Kind() == reflect.String:
			arg.SetString(path[0])
			path = path[1:]
		case len(path) > 0 && typ.Kind() >= reflect.Int && typ.Kind() <= reflect.Int64:
			n, err := strconv.ParseInt(path[0], 10, 64)
			if err != nil {
				return err
			}
			arg.SetInt(n)
			path = path[1:]
		case c.Body != "":
			if err := json.Unmarshal([]byte(c.Body), arg.Addr().Interface()); err != nil {
				return fmt.Errorf("the body as %s: %w", typ, err)
			}
		}
		args = append(args, arg)
	}
	out := method.Call(args)
	if err, ok := out[1].Interface().(error); ok && err != nil {
		return err
	}
	return c.check(out[0].Elem())
}

// check looks whether the answer was decoded into the shape of its status.
func (c call) check(answer reflect.Value) error {
	resp := answer.FieldByName("HTTPResponse").Interface().(*http.Response)
	if resp.StatusCode != c.Status {
		return fmt.Errorf("answered %s %s, want %d", resp.Status, answer.FieldByName("Body").Bytes(), c.Status)
	}
	for _, name := range []string{"JSON", "ApplicationproblemJSON"} {
		field := answer.FieldByName(name + strconv.Itoa(c.Status))
		if field.IsValid() && !field.IsNil() {
			return nil
		}
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		return fmt.Errorf("the answer %s was not decoded: %s", resp.Status, answer.FieldByName("Body").Bytes())
	}
	return nil
}
