package links

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"bambuddy/shared/wire"
)

// seenPatience is for agents that are asked while somebody waits.
const seenPatience = 2 * time.Second

// WhoHasSeen asks the agents that are connected which of them has noticed a
// printer on its network, by serial number or address, and gives their ids in
// order. One that does not answer within 2 s has not.
func (l *Links) WhoHasSeen(ctx context.Context, serial, address string) []int64 {
	ctx, cancel := context.WithTimeout(ctx, seenPatience)
	defer cancel()
	var mu sync.Mutex
	var out []int64
	var asking sync.WaitGroup
	for _, s := range l.all() {
		asking.Go(func() {
			var r wire.DiscoverResult
			err := l.Call(ctx, s.agent.ID, wire.CapDiscover, http.MethodPost, "/v1/discover", wire.DiscoverRequest{Ranges: []string{}}, &r)
			if err != nil || !slices.ContainsFunc(r.Found, func(f wire.Found) bool { return f.Serial == serial || f.Address == address }) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, s.agent.ID)
		})
	}
	asking.Wait()
	slices.Sort(out)
	return out
}
