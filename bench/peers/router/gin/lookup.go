package main

import (
	"reflect"
	"unsafe"

	"github.com/gin-gonic/gin"
)

// Gin's tree lookup is not exported: it is reached by its symbol, and its unexported types by others of the same layout
// (gin's tree.go).

type skippedNode struct {
	path        string
	node        unsafe.Pointer
	paramsCount int16
}

type nodeValue struct {
	handlers gin.HandlersChain
	params   *gin.Params
	tsr      bool
	fullPath string
}

//go:linkname getValue github.com/gin-gonic/gin.(*node).getValue
func getValue(n unsafe.Pointer, path string, params *gin.Params, skipped *[]skippedNode, unescape bool) nodeValue

// treesOf gives the root of each method's tree.
func treesOf(e *gin.Engine) map[string]unsafe.Pointer {
	roots := map[string]unsafe.Pointer{}
	trees := reflect.ValueOf(e).Elem().FieldByName("trees")
	for i := 0; i < trees.Len(); i++ {
		roots[trees.Index(i).FieldByName("method").String()] = trees.Index(i).FieldByName("root").UnsafePointer()
	}
	return roots
}
