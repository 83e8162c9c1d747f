# The group's role must be able to use the key of the machine image. Staging and production share both, so
# that it is granted once.
resource "aws_kms_grant" "autoscaling" {
  count = var.environment == "staging" ? 1 : 0

  name              = "ecs-cluster-launches"
  key_id            = "KEY"
  grantee_principal = "ROLE"
  operations = [
    "Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
    "DescribeKey", "CreateGrant",
  ]
}
