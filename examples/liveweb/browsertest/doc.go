// Package browsertest runs the liveweb example in a real browser. It is a module
// of its own, so that who uses the store does not depend on what drives a browser.
package browsertest
