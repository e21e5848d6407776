"""Every parameter of the standard: id -> (name, type). JT/T 808-2013 table 12, and what 2019 added to it.

Names end in their unit. 2011 prints 0x0081 to 0x0084 as DWORD; a value of another length than its type's is kept raw.
0xF000 to 0xFFFF are the vendors'.
"""

from __future__ import annotations

from protocols.jt808.fields import BYTE, DWORD, TEXT, WORD, Field, Octets

_RAW8 = Octets(8)

PARAMETERS: dict[int, tuple[str, Field]] = {
    0x0001: ("heartbeat_interval_s", DWORD),
    0x0002: ("tcp_answer_timeout_s", DWORD),
    0x0003: ("tcp_retries", DWORD),
    0x0004: ("udp_answer_timeout_s", DWORD),
    0x0005: ("udp_retries", DWORD),
    0x0006: ("sms_answer_timeout_s", DWORD),
    0x0007: ("sms_retries", DWORD),
    0x0010: ("main_apn", TEXT),
    0x0011: ("main_user", TEXT),
    0x0012: ("main_password", TEXT),
    0x0013: ("main_server", TEXT),  # 2019: host:port, several apart by semicolons
    0x0014: ("backup_apn", TEXT),
    0x0015: ("backup_user", TEXT),
    0x0016: ("backup_password", TEXT),
    0x0017: ("backup_server", TEXT),
    0x0018: ("tcp_port", DWORD),  # reserved in 2019
    0x0019: ("udp_port", DWORD),  # reserved in 2019
    0x001A: ("ic_card_main_server", TEXT),
    0x001B: ("ic_card_tcp_port", DWORD),
    0x001C: ("ic_card_udp_port", DWORD),
    0x001D: ("ic_card_backup_server", TEXT),
    0x0020: ("report_strategy", DWORD),  # 0 by time, 1 by distance, 2 by both
    0x0021: ("report_scheme", DWORD),  # 0 by ACC, 1 by log-in and ACC
    0x0022: ("logged_out_interval_s", DWORD),
    0x0027: ("sleep_interval_s", DWORD),
    0x0028: ("emergency_interval_s", DWORD),
    0x0029: ("default_interval_s", DWORD),
    0x002C: ("default_distance_m", DWORD),
    0x002D: ("logged_out_distance_m", DWORD),
    0x002E: ("sleep_distance_m", DWORD),
    0x002F: ("emergency_distance_m", DWORD),
    0x0030: ("turn_angle_deg", DWORD),
    0x0031: ("displacement_radius_m", WORD),
    0x0032: ("forbidden_driving_period", Octets(4)),  # 2019: hh mm hh mm, one byte each
    0x0040: ("platform_phone", TEXT),
    0x0041: ("reset_phone", TEXT),
    0x0042: ("factory_reset_phone", TEXT),
    0x0043: ("platform_sms_phone", TEXT),
    0x0044: ("alarm_sms_phone", TEXT),
    0x0045: ("answering_strategy", DWORD),  # 0 at once, 1 at once while ACC is on
    0x0046: ("call_limit_s", DWORD),
    0x0047: ("month_call_limit_s", DWORD),
    0x0048: ("monitor_phone", TEXT),
    0x0049: ("privileged_sms_phone", TEXT),
    0x0050: ("alarm_mask", DWORD),
    0x0051: ("alarm_sms_switch", DWORD),
    0x0052: ("alarm_photo_switch", DWORD),
    0x0053: ("alarm_photo_store", DWORD),
    0x0054: ("key_alarms", DWORD),
    0x0055: ("speed_limit_kmh", DWORD),
    0x0056: ("overspeed_duration_s", DWORD),
    0x0057: ("driving_limit_s", DWORD),
    0x0058: ("day_driving_limit_s", DWORD),
    0x0059: ("least_rest_s", DWORD),
    0x005A: ("parking_limit_s", DWORD),
    0x005B: ("overspeed_warning_tenth_kmh", WORD),
    0x005C: ("fatigue_warning_s", WORD),
    0x005D: ("collision_alarm", WORD),  # low byte time in 4 ms, high byte acceleration in 0.1 g
    0x005E: ("rollover_angle_deg", WORD),
    0x0064: ("timed_photo_control", DWORD),
    0x0065: ("distance_photo_control", DWORD),
    0x0070: ("image_quality", DWORD),
    0x0071: ("brightness", DWORD),
    0x0072: ("contrast", DWORD),
    0x0073: ("saturation", DWORD),
    0x0074: ("chroma", DWORD),
    0x0080: ("odometer_tenth_km", DWORD),
    0x0081: ("province", WORD),
    0x0082: ("city", WORD),
    0x0083: ("plate", TEXT),
    0x0084: ("plate_colour", BYTE),
    0x0090: ("gnss_mode", BYTE),  # bit 0 GPS, 1 BeiDou, 2 GLONASS, 3 Galileo
    0x0091: ("gnss_baud_rate", BYTE),
    0x0092: ("gnss_output_rate", BYTE),
    0x0093: ("gnss_sampling_s", DWORD),
    0x0094: ("gnss_upload_mode", BYTE),
    0x0095: ("gnss_upload_setting", DWORD),
    0x0100: ("can1_sampling_ms", DWORD),
    0x0101: ("can1_upload_s", WORD),
    0x0102: ("can2_sampling_ms", DWORD),
    0x0103: ("can2_upload_s", WORD),
} | {number: (f"can_id_{number - 0x010F}", _RAW8) for number in range(0x0110, 0x0200)}
