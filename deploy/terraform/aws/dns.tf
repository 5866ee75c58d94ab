# The names, and the certificate for all of them.

data "aws_route53_zone" "main" {
  provider = aws.dns
  zone_id  = var.zone_id
}

locals {
  hostname  = { for name in var.dns_names : name => "${name}.${data.aws_route53_zone.main.name}" }
  hostnames = [for name in var.dns_names : local.hostname[name]]
}

resource "aws_acm_certificate" "main" {
  domain_name               = local.hostnames[0]
  subject_alternative_names = slice(local.hostnames, 1, length(local.hostnames))
  validation_method         = "DNS"
  tags                      = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

# allow_overwrite: ACM asks an account for the same record whenever it validates the same name, so another deployment's
# certificate for this name has this very record already.
resource "aws_route53_record" "certificate" {
  provider        = aws.dns
  for_each        = toset(var.dns_names) # without the zone's name, which is not known while the zone is being made
  zone_id         = var.zone_id
  name            = one([for option in aws_acm_certificate.main.domain_validation_options : option.resource_record_name if option.domain_name == local.hostname[each.key]])
  type            = one([for option in aws_acm_certificate.main.domain_validation_options : option.resource_record_type if option.domain_name == local.hostname[each.key]])
  records         = [one([for option in aws_acm_certificate.main.domain_validation_options : option.resource_record_value if option.domain_name == local.hostname[each.key]])]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "main" {
  certificate_arn         = aws_acm_certificate.main.arn
  validation_record_fqdns = [for record in aws_route53_record.certificate : record.fqdn]
}

# allow_overwrite: taking a name over from another deployment is one step, during which the name never fails to resolve.
resource "aws_route53_record" "service" {
  provider        = aws.dns
  for_each        = toset(var.create_dns_records ? var.dns_names : [])
  zone_id         = var.zone_id
  name            = local.hostname[each.key]
  type            = "A"
  allow_overwrite = true

  alias {
    name                   = aws_lb.main.dns_name
    zone_id                = aws_lb.main.zone_id
    evaluate_target_health = false
  }
}
