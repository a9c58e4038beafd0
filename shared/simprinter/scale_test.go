package simprinter

import (
	"context"
	"testing"
)

// BenchmarkThousandPrinters measures how long a thousand printers take until all
// of them listen on the loopback.
func BenchmarkThousandPrinters(b *testing.B) {
	all, err := Specs(1000, nil, "127.0.0.1", 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f, err := NewFarm(all, Options{})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan error, 1)
		go func() { over <- f.Run(ctx) }()
		select {
		case <-f.Ready():
			b.StopTimer()
			cancel()
			err = <-over
			b.StartTimer()
		case err = <-over:
			cancel()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
