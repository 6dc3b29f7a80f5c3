// A cluster of kfake: Kafka's protocol written a second time, in Go, with all data in memory. It listens on 127.0.0.1
// and runs until it gets SIGINT or SIGTERM; with -until-eof also until its standard input ends.
//
//	kfake [-until-eof] PORT [PORT…]    one broker on each port
//
// It prints BOOTSTRAP=host:port[,…] once it accepts connections.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	exitUsage       = 2
	exitEnvironment = 3
	// An arbitrary limit above what tests use (three brokers).
	portsMax = 16
)

func main() {
	untilEOF := flag.Bool("until-eof", false, "end when standard input ends")
	flag.Parse()
	ports, err := ports(flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n  help: give one port for each broker, for example `kfake 19392 19402 19412`\n", err)
		os.Exit(exitUsage)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	cluster, err := kfake.NewCluster(
		kfake.Ports(ports...),
		// Tests recognise kfake by this id and skip what it does differently from Kafka.
		kfake.ClusterID("kfake"),
		kfake.WithLogger(kfake.BasicLogger(os.Stderr, kfake.LogLevelWarn)),
	)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: the cluster does not start: %v\n  help: choose other ports\n", err)
		os.Exit(exitEnvironment)
	}
	defer cluster.Close()
	fmt.Printf("BOOTSTRAP=%s\n", strings.Join(cluster.ListenAddrs(), ","))
	ended := make(chan struct{})
	if *untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(ended)
		}()
	}
	select {
	case <-signals:
	case <-ended:
	}
}

func ports(arguments []string) ([]int, error) {
	if len(arguments) == 0 || len(arguments) > portsMax {
		return nil, fmt.Errorf("%d ports are given, 1 to %d are needed", len(arguments), portsMax)
	}
	ports := make([]int, 0, len(arguments))
	for _, argument := range arguments {
		port, err := strconv.ParseUint(argument, 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("`%s` is no port", argument)
		}
		ports = append(ports, int(port))
	}
	return ports, nil
}
