package nftables

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/sources/netlink"
)

// As many changes are made at once as a transaction takes, the last ones before all.
func TestTransactions(t *testing.T) {
	const most = netlink.MaxBatch
	for name, test := range map[string]struct {
		sizes []int
		want  [][]int
	}{
		"nothing":             {nil, nil},
		"all at once":         {[]int{most / 2, most / 4, most / 4}, [][]int{{most / 2, most / 4, most / 4}}},
		"one too many":        {[]int{16, most / 2, most / 4, most / 4}, [][]int{{16}, {most / 2, most / 4, most / 4}}},
		"the last ones":       {[]int{most / 2, most / 2, most / 2, 64, 32}, [][]int{{most / 2, most / 2}, {most / 2, 64, 32}}},
		"one that is too big": {[]int{64, most + 64, 32}, [][]int{{64}, {most + 64}, {32}}},
	} {
		var b batch
		for _, size := range test.sizes {
			b.changes = append(b.changes, netlink.Message{Body: make([]byte, size-16)})
		}
		var got [][]int
		for _, part := range b.transactions() {
			var sizes []int
			for _, change := range part {
				sizes = append(sizes, change.Size())
			}
			got = append(got, sizes)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
