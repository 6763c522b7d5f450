module github.com/leaderkit/leaderkit/test/chaos

go 1.25.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/aws/aws-sdk-go v1.55.8
	github.com/google/uuid v1.6.0
	github.com/leaderkit/leaderkit v0.0.0
	golang.org/x/sys v0.46.0
)

require (
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/jmespath/go-jmespath v0.4.0 // indirect
)

replace github.com/leaderkit/leaderkit => ../..
