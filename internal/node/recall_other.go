//go:build !linux

package node

// Recall never takes anything back: other systems give no way to.
func (u *upstream) Recall(int) int { return 0 }

func inode(int) uint64 { return 0 }
