package config

// Source is where the values of secrets are found.
type Source struct {
	Getenv   func(name string) (value string, set bool) // such as os.LookupEnv
	ReadFile func(path string) ([]byte, error)          // such as os.ReadFile
}

// Load reads the file at path. Error: [Problems], all of them at once.
func Load(path string, src Source) (*Config, error) {
	r := newReader(path, src)
	data, err := r.readFile(path)
	if err != nil {
		r.whole("cannot be read: "+reason(err), "")
		return nil, r.problems
	}
	return Parse(path, data, src)
}

// Parse reads a file's content; file is what messages call it. Error: [Problems], all of them at once.
func Parse(file string, data []byte, src Source) (*Config, error) {
	r := newReader(file, src)
	var raw rawFile
	body := r.parse(data)
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	table().read(r, "", body, &raw)
	cfg := r.check(&raw)
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	return cfg, nil
}
