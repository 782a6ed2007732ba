// Renders a chart as Helm does, by the same template engine and the same functions (sprig), for checks on machines without Helm.
//
//	render CHART RELEASE [VALUES.yaml]...
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

type values = map[string]interface{}

func read(path string) values {
	text, err := os.ReadFile(path)
	check(err)
	read := values{}
	check(yaml.Unmarshal(text, &read))
	return read
}

// Maps are merged, everything else is replaced.
func merge(into, from values) {
	for name, value := range from {
		inner, isMap := value.(values)
		if known, ok := into[name].(values); ok && isMap {
			merge(known, inner)
		} else {
			into[name] = value
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	chart, release := os.Args[1], os.Args[2]
	about, given := read(filepath.Join(chart, "Chart.yaml")), read(filepath.Join(chart, "values.yaml"))
	for _, path := range os.Args[3:] {
		merge(given, read(path))
	}
	context := values{
		"Values":  given,
		"Chart":   values{"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
		"Release": values{"Name": release, "Namespace": "posthaste", "Service": "Helm", "Revision": 1},
	}

	all := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	functions["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	functions["toYaml"] = func(value interface{}) (string, error) {
		out, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(out), "\n"), err
	}
	functions["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	all.Funcs(functions)

	paths, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	check(err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		_, err = all.New(path).Parse(string(text))
		check(err)
	}
	for _, path := range paths {
		if filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".txt" {
			continue
		}
		var out bytes.Buffer
		check(all.ExecuteTemplate(&out, path, context))
		if filepath.Ext(path) == ".yaml" {
			fmt.Printf("---\n# %s\n%s\n", filepath.Base(path), strings.ReplaceAll(out.String(), "<no value>", ""))
		}
	}
}
