// The Go clients that the tests drive: `go-clients franz|sarama|kafkago produce|consume|admin|member ...`.
// The options are those of client_args.py and, for a member, of member_args.py; a record is a line without its newline, and partition 0 keeps their order.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
)

type arguments struct {
	bootstrap, topic, file, out, codec, acks string
	idempotent, keyed                        bool
}

type client struct {
	produce func(arguments) (int, error)
	consume func(arguments) (int, error)
	admin   func(arguments) error
}

var clients = map[string]client{
	"franz":   {franzProduce, franzConsume, franzAdmin},
	"sarama":  {saramaProduce, saramaConsume, saramaAdmin},
	"kafkago": {kafkagoProduce, kafkagoConsume, kafkagoAdmin},
}

type record struct{ key, value []byte }

// One record for each line of the file; with -keyed a tab and nothing after it is a tombstone.
func records(args arguments) ([]record, error) {
	text, err := os.ReadFile(args.file)
	if err != nil {
		return nil, err
	}
	var found []record
	for _, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		next := record{value: line}
		if args.keyed {
			next.key, next.value, _ = bytes.Cut(line, []byte("\t"))
			if len(next.value) == 0 {
				next.value = nil
			}
		}
		found = append(found, next)
	}
	return found, nil
}

type lineWriter struct {
	file   *os.File
	buffer *bufio.Writer
	keyed  bool
	count  int
}

func newLineWriter(args arguments) (*lineWriter, error) {
	file, err := os.Create(args.out)
	if err != nil {
		return nil, err
	}
	return &lineWriter{file: file, buffer: bufio.NewWriterSize(file, 1<<20), keyed: args.keyed}, nil
}

func (w *lineWriter) add(offset int64, key, value []byte) {
	if w.keyed {
		fmt.Fprintf(w.buffer, "%d\t%s\t", offset, key)
	}
	w.buffer.Write(value)
	w.buffer.WriteByte('\n')
	w.count++
}

// The buffer keeps the first error of a write and returns it here.
func (w *lineWriter) close() (int, error) {
	if err := w.buffer.Flush(); err != nil {
		return w.count, err
	}
	return w.count, w.file.Close()
}

func run() error {
	if len(os.Args) < 3 {
		return fmt.Errorf("usage: go-clients franz|sarama|kafkago produce|consume|admin [options]")
	}
	chosen, known := clients[os.Args[1]]
	if !known {
		return fmt.Errorf("unknown client %s", os.Args[1])
	}
	if os.Args[2] == "member" {
		return runMember(os.Args[1], os.Args[3:])
	}
	var args arguments
	var idempotent, keyed string
	flags := flag.NewFlagSet("go-clients", flag.ExitOnError)
	flags.StringVar(&args.bootstrap, "bootstrap", "", "")
	flags.StringVar(&args.topic, "topic", "", "")
	flags.StringVar(&args.file, "file", "", "")
	flags.StringVar(&args.out, "out", "", "")
	flags.StringVar(&args.codec, "codec", "none", "")
	flags.StringVar(&args.acks, "acks", "all", "")
	flags.StringVar(&idempotent, "idempotent", "no", "")
	flags.StringVar(&keyed, "keyed", "no", "")
	if err := flags.Parse(os.Args[3:]); err != nil {
		return err
	}
	args.idempotent = idempotent == "yes"
	args.keyed = keyed == "yes"
	switch os.Args[2] {
	case "produce":
		count, err := chosen.produce(args)
		fmt.Println("produced", count)
		return err
	case "consume":
		count, err := chosen.consume(args)
		fmt.Println("consumed", count)
		return err
	case "admin":
		return chosen.admin(args)
	}
	return fmt.Errorf("unknown command %s", os.Args[2])
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
