package election

// state is the state of an elector. The names are those of the drawing in the package comment.
type state int

const (
	idle state = iota
	campaigning
	leading
	handingOver
	draining
	overdue
	releasing
	standingAside
)

// leads reports whether the leading context is alive in this state.
func (s state) leads() bool { return s == leading || s == handingOver }

func (s state) String() string {
	return [...]string{"idle", "campaigning", "leading", "handing over", "draining", "overdue", "releasing", "standing aside"}[s]
}
