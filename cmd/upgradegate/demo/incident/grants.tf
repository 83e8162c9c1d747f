# The groups' role must be able to use the key of the machine image.
resource "aws_kms_grant" "autoscaling" {
  name              = "ecs-cluster-launches"
  key_id            = "KEY"
  grantee_principal = "ROLE"
  operations = [
    "Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
    "DescribeKey", "CreateGrant",
  ]
}
