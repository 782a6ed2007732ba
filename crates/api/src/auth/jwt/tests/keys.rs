//! Keys made for these tests; nothing else trusts them.

/// An RSA private key, PKCS#1, in base64.
pub const RSA: &str = "\
    MIIEpAIBAAKCAQEAo9DwEsSGpLVRwelhsTGV3keiyutF82c/duzVgmyqXGpmMqGbXBUUqCVCSz5A2um8z9b4VxSK3ATmkZcUhDnG\
    9srtKJTUoaUSSUR0LksFanaUHQTDHqVh7SqrOlb56rZ01F8e1mbdl4cP0JS2Tygg+o7ymmFNvD5T3IOshqTjjOB919r6y/a5dp89\
    zzZL4Uw0gm3AQpQ1vYBMnsw2uLaUS7kWLIl1wXv+Ga4Q7jj8yxRjBqyquertWbdLypa6aXcm+1j6R57N9gUJrH8NNDS0bATbQQ6k\
    UygjciZdGtkCL3yLP3ONs7P0sZ1mZyYo9DT9dmrzAHlk1TobgEyw/bW8PwIDAQABAoIBAB1hWc1j5eoggvtOSjEnfYOSQYY3UCJp\
    gB5qN5jeuGc+xfmKtnx7Y2sM06j/D06z4SM9oOitTIJNdrTh7dIRMrgMiSBgIQqkunTdjCDJX71KayIROpWCf9+zaWZbNxN7idSV\
    AsjdRhzpIlL8eP4VamTFwokhrnl2jD/eddDoPc+EIfsCGcxXKCxUpeyG7WPnos0xj5+oXM52WA80t/BFaKY/aYtiiud2YVIgOzpb\
    /m1vm1V/AOqSqLHWK5SFDnSGl8wWXa3BOd+KnitCjhZt5V/4p0gqfIe8/duuDgrPyku0SWSJJMvLWv3XMoP1YTYpSB6AQk6UASsh\
    i4PDMMOD6FECgYEA4kkyU2krLYl48nC9g8ykWgFdC4Fafpx1RRGMjGRghm3tanibouE93+hq0WOfmXoHvzeRlSYyEleofA0ReHcU\
    /LbBmJvfd4/M4CENxyiQUoXbFLwtCKY33rNZ03ZoyfsjU/MiPQqbuTWeAtA1DWORLhBEXreonZSAUH9AeYlfJyUCgYEAuVPDr9Ou\
    To/e2d7d+O+9AhTxPPuYfbMS0LhP7oW0FFIZNh42bm1kNy9EyXA4Dv9f0m/21WxELNiG1LwRt1lhEa97rsTRbD/gTw1dd9s0Q6DF\
    pesqE4DSs0j42Afjf299Y+KhWUPQsLiKmQ5BA54Af7uxj3mCKKCg6AenRwiOmpMCgYEAggyxSLDbqNsmUKess2/MURIRiIg6GyQO\
    XbidPx59PyU0WomgYPb0mZe4tEh+NDWm+CWWnNKL2nDYmxrjnIlL3YWnM+75enyBsZotkfVlJJhbdcpEU4E8ANiw2lBmHxcfkaLd\
    XZmYL9R50IIay2waxw+AS7Nfy9jJ+fl4c6EYt6UCgYB95cqVIn9SPWhNp5oxp2NGC8YKAH0KP2FzyxH53niEKXWZDxM5FzUyS/k1\
    wvdCMPf+dDNBryftMzb9Q7nhTWWk5wploq0GFaqi6VhquM4bdxdt7ICL+UKpqtPppgpFIw8SkP29L1WRB/yXl1hRRb/fBjnMVuY2\
    BVDp73ESz1xY4wKBgQDN99al97LeW5PXsDzNc3a2I7mDRlODnZa5l429PBDlQatYvn3wrSNSLzydW1xm6j9i442VGEulskvLAnC/\
    bemIaqG1q+blmWAiVtvcQpzJqKtQzMju4hYuQq6D1enY/VxfTumnU7eC1CqodAcuLOZvhvmYZBjOT1Fb7H0CUWHjVw==";

/// An ECDSA private key over P-256, PKCS#8, in base64.
pub const P_256: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGD+3nolsKIM1+E0g+G6H3hFy6Q3gjZ0HH9hc4onZH12hRANCAAQb\
    u8ZW+SYfkzLT7tuq5CKZrxwJj8KbihWsCLzNFadSd6mGELkXpv4VWhT3sZCTOf5NV8op7esAfQMuGdKVFa8d";

/// The same over P-384.
pub const P_384: &str = "\
    MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDC338S1ITE751nd2NZYhd12JVFx0QEv+ZV6t65S8Dfy4e1TlCNA09H\
    txmW/9/Tt16hZANiAARXP1v98pOu7Sj9wA/4xfYRHTkt3Ud4Eo5D21l0CJXpYrOKD0ydIrMrHnjjohf/ifPk8Ory4roVWrothww8\
    bW9VJySTBRSOcJVYeHen10QYcHViW8yh0bjnR3Q7PMIBQo8=";

/// An Ed25519 private key, PKCS#8, in base64.
pub const ED25519: &str = "\
    MC4CAQAwBQYDK2VwBCIEII+5diwto3TsRsnqrgwOPo2BkGexPQr0MnfhPqmFF5Jd";

/// The public keys to them.
pub const RSA_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAo9DwEsSGpLVRwelhsTGV
3keiyutF82c/duzVgmyqXGpmMqGbXBUUqCVCSz5A2um8z9b4VxSK3ATmkZcUhDnG
9srtKJTUoaUSSUR0LksFanaUHQTDHqVh7SqrOlb56rZ01F8e1mbdl4cP0JS2Tygg
+o7ymmFNvD5T3IOshqTjjOB919r6y/a5dp89zzZL4Uw0gm3AQpQ1vYBMnsw2uLaU
S7kWLIl1wXv+Ga4Q7jj8yxRjBqyquertWbdLypa6aXcm+1j6R57N9gUJrH8NNDS0
bATbQQ6kUygjciZdGtkCL3yLP3ONs7P0sZ1mZyYo9DT9dmrzAHlk1TobgEyw/bW8
PwIDAQAB
-----END PUBLIC KEY-----
";

/// The first in its older form.
pub const RSA_PKCS1_PEM: &str = "\
-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAo9DwEsSGpLVRwelhsTGV3keiyutF82c/duzVgmyqXGpmMqGbXBUU
qCVCSz5A2um8z9b4VxSK3ATmkZcUhDnG9srtKJTUoaUSSUR0LksFanaUHQTDHqVh
7SqrOlb56rZ01F8e1mbdl4cP0JS2Tygg+o7ymmFNvD5T3IOshqTjjOB919r6y/a5
dp89zzZL4Uw0gm3AQpQ1vYBMnsw2uLaUS7kWLIl1wXv+Ga4Q7jj8yxRjBqyquert
WbdLypa6aXcm+1j6R57N9gUJrH8NNDS0bATbQQ6kUygjciZdGtkCL3yLP3ONs7P0
sZ1mZyYo9DT9dmrzAHlk1TobgEyw/bW8PwIDAQAB
-----END RSA PUBLIC KEY-----
";

pub const P_256_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEG7vGVvkmH5My0+7bquQima8cCY/C
m4oVrAi8zRWnUnephhC5F6b+FVoU97GQkzn+TVfKKe3rAH0DLhnSlRWvHQ==
-----END PUBLIC KEY-----
";

pub const P_384_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEVz9b/fKTru0o/cAP+MX2ER05Ld1HeBKO
Q9tZdAiV6WKzig9MnSKzKx5446IX/4nz5PDq8uK6FVq6LYcMPG1vVSckkwUUjnCV
WHh3p9dEGHB1YlvModG450d0OzzCAUKP
-----END PUBLIC KEY-----
";

pub const ED25519_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAmuHfBY6whtAZHTUibcN7petZR+nV+a4C87KvUxmaOX0=
-----END PUBLIC KEY-----
";

/// The modulus of the RSA key; its exponent is AQAB.
pub const RSA_N: &str = "\
    o9DwEsSGpLVRwelhsTGV3keiyutF82c_duzVgmyqXGpmMqGbXBUUqCVCSz5A2um8z9b4VxSK3ATmkZcUhDnG9srtKJTUoaUSSUR0\
    LksFanaUHQTDHqVh7SqrOlb56rZ01F8e1mbdl4cP0JS2Tygg-\
    o7ymmFNvD5T3IOshqTjjOB919r6y_a5dp89zzZL4Uw0gm3AQpQ1vYBMnsw2uLaUS7kWLIl1wXv-Ga4Q7jj8yxRjBqyquertWbdLy\
    pa6aXcm-1j6R57N9gUJrH8NNDS0bATbQQ6kUygjciZdGtkCL3yLP3ONs7P0sZ1mZyYo9DT9dmrzAHlk1TobgEyw_bW8Pw";

/// The points of the others.
pub const P_256_XY: [&str; 2] =
    ["G7vGVvkmH5My0-7bquQima8cCY_Cm4oVrAi8zRWnUnc", "qYYQuRem_hVaFPexkJM5_k1Xyint6wB9Ay4Z0pUVrx0"];

pub const P_384_XY: [&str; 2] = [
    "Vz9b_fKTru0o_cAP-MX2ER05Ld1HeBKOQ9tZdAiV6WKzig9MnSKzKx5446IX_4nz",
    "5PDq8uK6FVq6LYcMPG1vVSckkwUUjnCVWHh3p9dEGHB1YlvModG450d0OzzCAUKP",
];

pub const ED25519_X: &str = "muHfBY6whtAZHTUibcN7petZR-nV-a4C87KvUxmaOX0";
