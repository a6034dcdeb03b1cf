obj.spec.runStrategy = "Halted"
return obj
