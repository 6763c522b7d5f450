module github.com/leaderkit/leaderkit/election/gocron

go 1.25.0

require (
	github.com/aws/aws-sdk-go v1.55.8
	github.com/go-co-op/gocron/v2 v2.21.2
	github.com/go-logr/logr v1.4.4
	github.com/google/uuid v1.6.0
	github.com/leaderkit/leaderkit v0.0.0
	github.com/onsi/gomega v1.44.0
)

require (
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/jmespath/go-jmespath v0.4.0 // indirect
	github.com/jonboulle/clockwork v0.5.0 // indirect
	github.com/robfig/cron/v3 v3.0.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.56.0 // indirect
	golang.org/x/text v0.38.0 // indirect
)

replace github.com/leaderkit/leaderkit => ../..
