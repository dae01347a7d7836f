//go:build tools

// Package helm pins the Helm command that the tests build from its module.
package helm

import _ "helm.sh/helm/v4/cmd/helm"
