locals {
  image    = "IMAGE"
  max_size = MAX_SIZE
}
