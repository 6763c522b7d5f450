package lockclient

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// observers is a list of functions that is read far more often than changed.
type observers struct {
	mu   sync.Mutex // guards changes
	list atomic.Pointer[[]*observer]
}

type observer struct {
	observe func(took time.Duration, err error)
	stopped atomic.Bool
}

func (o *observers) add(observe func(time.Duration, error)) (stop func()) {
	added := &observer{observe: observe}
	o.mu.Lock()
	defer o.mu.Unlock()
	list := append(o.snapshot(), added)
	o.list.Store(&list)
	return func() {
		added.stopped.Store(true)
		o.mu.Lock()
		defer o.mu.Unlock()
		list := slices.DeleteFunc(o.snapshot(), func(other *observer) bool { return other == added })
		o.list.Store(&list)
	}
}

// snapshot is a copy to be changed. Called with mu held.
func (o *observers) snapshot() []*observer {
	if list := o.list.Load(); list != nil {
		return slices.Clone(*list)
	}
	return nil
}

func (o *observers) tell(took time.Duration, err error) {
	list := o.list.Load()
	if list == nil {
		return
	}
	for _, observer := range *list {
		if !observer.stopped.Load() {
			observer.observe(took, err)
		}
	}
}
