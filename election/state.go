package election

// state is where an elector stands; the names are those of the drawing in the package comment.
type state int

const (
	idle state = iota
	campaigning
	leading
	draining
	overdue
	releasing
	standingAside
)

func (s state) String() string {
	return [...]string{"idle", "campaigning", "leading", "draining", "overdue", "releasing", "standing aside"}[s]
}
