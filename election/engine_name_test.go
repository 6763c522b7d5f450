package election

import "os"

// engineName is what the specs that need a real engine run on.
func engineName() string {
	if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		return "endpoint " + endpoint
	}
	return "dynamotest"
}
