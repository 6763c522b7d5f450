package main

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

func TestTheDemoShowsOneHolderAndThenTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := tell(context.Background(), demo.NewStory(&out), 10*time.Second); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		strong, eventual, _ := strings.Cut(out.String(), "MREC:")
		for _, want := range []string{"a   us-east-1 HOLDS the lock", "is cut off from the other Regions", "holds it no longer", "at no moment did two believe"} {
			if !strings.Contains(strong, want) {
				t.Errorf("of the strongly consistent table it does not say %q:\n%s", want, strong)
			}
		}
		if strings.Contains(strong, "BOTH") {
			t.Errorf("two believed in the lock of a strongly consistent table:\n%s", strong)
		}
		for _, want := range []string{`a and [bc] BOTH BELIEVE`, `TWO BELIEVED that they held the lock`} {
			if !regexp.MustCompile(want).MatchString(eventual) {
				t.Errorf("of the eventually consistent table it does not say %q:\n%s", want, eventual)
			}
		}
	})
}

func TestTheDemoEndsWhenItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
		defer cancel()
		if err := tell(ctx, demo.NewStory(&bytes.Buffer{}), 10*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		// synctest.Test itself fails when a goroutine is left.
	})
}
