// Reads a topic that lanekeeper has written, from its beginning to the ends its partitions have now, with a client in
// another language: franz-go's kgo, which checks the checksum of each batch and knows every codec.
//
//	reader BOOTSTRAP TOPIC PARTITIONS
//
// Each value has a stamp with the producer, the partition and the sequence of its record (`src/base/record.rs`). A record
// in another partition, or one that does not follow the one before it, ends the program with code 1. It prints the number
// of records and the bytes of their values.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	exitWrong       = 1
	exitUsage       = 2
	exitEnvironment = 3
	limit           = 60 * time.Second
	partitionsMax   = 1000
)

// The stamp's mark, and where its fields are.
var mark = []byte{'L', 'K', 3, 0}

const (
	sequenceAt = 8
	laneAt     = 32
	stampBytes = 48
)

type lane struct{ producer, partition uint32 }

func main() {
	partitions := 0
	if len(os.Args) == 4 {
		partitions, _ = strconv.Atoi(os.Args[3])
	}
	if partitions < 1 || partitions > partitionsMax {
		fmt.Fprintln(os.Stderr, "usage: reader BOOTSTRAP TOPIC PARTITIONS")
		os.Exit(exitUsage)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Args[1], ",")...),
		kgo.ConsumeTopics(os.Args[2]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(exitEnvironment)
	}
	defer client.Close()
	records, valueBytes, err := read(client, partitions)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(exitWrong)
	}
	fmt.Printf("records %d value_bytes %d\n", records, valueBytes)
}

func read(client *kgo.Client, partitions int) (records, valueBytes int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	next := map[lane]uint64{}
	atEnd := map[int32]bool{}
	for len(atEnd) < partitions {
		fetches := client.PollFetches(ctx)
		for _, failed := range fetches.Errors() {
			return 0, 0, fmt.Errorf("partition %d: %w", failed.Partition, failed.Err)
		}
		fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
			for _, record := range fetched.Records {
				if err == nil {
					err = check(record, next)
				}
				records++
				valueBytes += len(record.Value)
				if record.Offset+1 >= fetched.HighWatermark {
					atEnd[fetched.Partition] = true
				}
			}
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return records, valueBytes, nil
}

func check(record *kgo.Record, next map[lane]uint64) error {
	value := record.Value
	if len(value) < stampBytes || !bytes.Equal(value[:len(mark)], mark) {
		return fmt.Errorf("offset %d of partition %d has no stamp", record.Offset, record.Partition)
	}
	both := binary.LittleEndian.Uint64(value[laneAt:])
	of := lane{producer: uint32(both), partition: uint32(both >> 32)}
	if of.partition != uint32(record.Partition) {
		return fmt.Errorf("offset %d of partition %d was sent to partition %d", record.Offset, record.Partition, of.partition)
	}
	if sequence := binary.LittleEndian.Uint64(value[sequenceAt:]); sequence != next[of] {
		return fmt.Errorf("offset %d of partition %d: producer %d sent number %d here, and %d follows",
			record.Offset, record.Partition, of.producer, sequence, next[of])
	}
	next[of]++
	return nil
}
