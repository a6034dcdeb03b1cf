obj.spec.runStrategy = "Always"
return obj
