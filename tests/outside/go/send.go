// Hands a message in as Go programs do: send HOST:PORT FROM TO[,TO...], the content on standard input.
package main

import (
	"fmt"
	"io"
	"net/smtp"
	"os"
	"strings"
)

func main() {
	content, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = smtp.SendMail(os.Args[1], nil, os.Args[2], strings.Split(os.Args[3], ","), content)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
