//go:build !race

// Package race tells tests whether the race detector is on. It makes everything ten times as slow,
// so that large tests are smaller under it.
package race

// Enabled says whether the race detector is on.
const Enabled = false
