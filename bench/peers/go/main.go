// The tutorial's counter in Go: net/http, and one INCR a request through the client that CLIENT names.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/gomodule/redigo/redis"
	"github.com/redis/rueidis"
)

// One command a round trip, over a pool of connections.
func redigo(address string) func(context.Context) (int64, error) {
	pool := &redis.Pool{MaxIdle: 1024, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", address) }}
	return func(context.Context) (int64, error) {
		connection := pool.Get()
		defer connection.Close()
		return redis.Int64(connection.Do("INCR", "hits"))
	}
}

// Commands that arrive at the same time share a round trip.
func pipelining(address string) func(context.Context) (int64, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}})
	if err != nil {
		log.Fatal(err)
	}
	return func(ctx context.Context) (int64, error) {
		return client.Do(ctx, client.B().Incr().Key("hits").Build()).AsInt64()
	}
}

func main() {
	clients := map[string]func(string) func(context.Context) (int64, error){"redigo": redigo, "rueidis": pipelining}
	increment := clients[os.Getenv("CLIENT")](os.Getenv("REDIS"))

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		hits, err := increment(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "Hello, world! You are visitor %d.\n", hits)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
