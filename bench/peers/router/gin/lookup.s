// Empty: with an assembly file in the package the compiler accepts functions that are declared here and defined elsewhere
// (lookup.go).
