// SPDX-License-Identifier: LGPL-2.1-or-later

// judge QUOTE ROOT: has Google's go-tdx-guest verify a TDX quote against the root certificate in
// ROOT (PEM). No collateral and no revocation lists: an emulated platform has none.
//
// Exit status: 0 accepted, 1 refused, with the verifier's words on standard error, 2 wrong usage.
package main

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/google/go-tdx-guest/verify"
)

func fail(status int, what any) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(status)
}

func main() {
	if len(os.Args) != 3 {
		fail(2, "Usage: judge QUOTE ROOT")
	}
	quote, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(2, err)
	}
	root, err := os.ReadFile(os.Args[2])
	if err != nil {
		fail(2, err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(root) {
		fail(2, os.Args[2]+": no certificate in it")
	}
	// The verifier's parser takes slices without looking: what it panics at is no quote either.
	defer func() {
		if what := recover(); what != nil {
			fail(1, what)
		}
	}()
	if err := verify.RawTdxQuote(quote, &verify.Options{TrustedRoots: trusted}); err != nil {
		fail(1, err)
	}
}
